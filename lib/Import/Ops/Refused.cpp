//===- Refused.cpp - Operators that are not read, and why -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"

using namespace lathe;

#define LATHE_CONTROL "control flow is not supported"
#define LATHE_SEQUENCE                                                         \
  "sequences are supported only between SplitToSequence and SequenceAt"
#define LATHE_OPTIONAL "optional values are not supported"
#define LATHE_STRING "strings are not supported"
#define LATHE_RANDOM "random numbers are not supported"
#define LATHE_RECURRENT "recurrent layers are not supported"
#define LATHE_TRAINING "losses and training are not supported"
#define LATHE_SIGNAL "signal processing is not supported"
#define LATHE_DETECTION "detection operators are not supported"

static constexpr RefusedOp kRefused[] = {
    {"Bernoulli", LATHE_RANDOM},
    {"BlackmanWindow", LATHE_SIGNAL},
    {"ConcatFromSequence", LATHE_SEQUENCE},
    {"DFT", LATHE_SIGNAL},
    {"GRU", LATHE_RECURRENT},
    {"HammingWindow", LATHE_SIGNAL},
    {"HannWindow", LATHE_SIGNAL},
    {"If", LATHE_CONTROL},
    {"LSTM", LATHE_RECURRENT},
    {"Loop", LATHE_CONTROL},
    {"MaxRoiPool", LATHE_DETECTION},
    {"MelWeightMatrix", LATHE_SIGNAL},
    {"Multinomial", LATHE_RANDOM},
    {"NegativeLogLikelihoodLoss", LATHE_TRAINING},
    {"NonMaxSuppression", LATHE_DETECTION},
    {"Optional", LATHE_OPTIONAL},
    {"OptionalGetElement", LATHE_OPTIONAL},
    {"OptionalHasElement", LATHE_OPTIONAL},
    {"RNN", LATHE_RECURRENT},
    {"RandomNormal", LATHE_RANDOM},
    {"RandomNormalLike", LATHE_RANDOM},
    {"RandomUniform", LATHE_RANDOM},
    {"RandomUniformLike", LATHE_RANDOM},
    {"RegexFullMatch", LATHE_STRING},
    {"RoiAlign", LATHE_DETECTION},
    {"STFT", LATHE_SIGNAL},
    {"Scan", LATHE_CONTROL},
    {"SequenceConstruct", LATHE_SEQUENCE},
    {"SequenceEmpty", LATHE_SEQUENCE},
    {"SequenceErase", LATHE_SEQUENCE},
    {"SequenceInsert", LATHE_SEQUENCE},
    {"SequenceLength", LATHE_SEQUENCE},
    {"SequenceMap", LATHE_SEQUENCE},
    {"SoftmaxCrossEntropyLoss", LATHE_TRAINING},
    {"StringConcat", LATHE_STRING},
    {"StringNormalizer", LATHE_STRING},
    {"StringSplit", LATHE_STRING},
    {"TfIdfVectorizer", LATHE_STRING},
};

#undef LATHE_CONTROL
#undef LATHE_SEQUENCE
#undef LATHE_OPTIONAL
#undef LATHE_STRING
#undef LATHE_RANDOM
#undef LATHE_RECURRENT
#undef LATHE_TRAINING
#undef LATHE_SIGNAL
#undef LATHE_DETECTION

llvm::ArrayRef<RefusedOp> lathe::refusedOps() { return kRefused; }
