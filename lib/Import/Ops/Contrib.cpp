//===- Contrib.cpp - Operators of the domain com.microsoft ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"

using namespace lathe;
using shape::firstLikeFirst;
using shape::likeFirst;
using shape::ranked;
using shape::setRank;

/// Outputs 0 and 3 are shaped like the input; 1 and 2 are statistics.
static void skipNormShape(const NodeInfo &node, shape::Results results) {
  likeFirst(node, results.take_front(1));
  if (results.size() > 3)
    likeFirst(node, results.drop_front(3));
}

static std::string checkHeads(const NodeInfo &node) {
  std::optional<int64_t> heads = node.getInt("num_heads");
  std::optional<int64_t> kvHeads = node.getInt("kv_num_heads");
  if (heads && *heads < 1)
    return "num_heads is not positive";
  if (kvHeads && *kvHeads < 1)
    return "kv_num_heads is not positive";
  if (heads && kvHeads && *heads % *kvHeads != 0)
    return "num_heads " + std::to_string(*heads) +
           " is no multiple of kv_num_heads " + std::to_string(*kvHeads);
  return "";
}

static void attentionShape(const NodeInfo &, shape::Results results) {
  setRank(results[0], 3);
}

static void embedShape(const NodeInfo &node, shape::Results results) {
  setRank(results[0], 3);
  const ValueType *words = ranked(node, 2);
  if (words && words->getRank() == 2)
    (*results[0].dims)[2] = (*words->dims)[1];
  if (results.size() > 2)
    results[2].dims = results[0].dims;
}

static void fusedMatMulShape(const NodeInfo &node, shape::Results results) {
  const ValueType *a = ranked(node, 0), *b = ranked(node, 1);
  if (a && b)
    setRank(results[0], std::max(a->getRank(), b->getRank()));
}

static void matMulNBitsShape(const NodeInfo &node, shape::Results results) {
  const ValueType *a = ranked(node, 0);
  if (!a || a->getRank() == 0)
    return;
  results[0].dims = a->dims;
  results[0].dims->back() = node.getInt("N").value_or(kUnknownDim);
}

static std::string checkMatMulNBits(const NodeInfo &node) {
  int64_t k = node.getInt("K").value_or(0), n = node.getInt("N").value_or(0);
  int64_t bits = node.getInt("bits").value_or(4);
  int64_t block = node.getInt("block_size").value_or(0);
  if (bits != 2 && bits != 4 && bits != 8)
    return "bits is " + std::to_string(bits) + ", not 2, 4 or 8";
  if (k < 1 || n < 1 || k > INT32_MAX || n > INT32_MAX)
    return "K or N is not a possible extent";
  if (block < 16 || block > (1 << 20) || (block & (block - 1)) != 0)
    return "block_size " + std::to_string(block) +
           " is no power of two of at least 16";
  const ValueType *a = ranked(node, 0), *b = ranked(node, 1);
  if (a && a->getRank() > 0 && a->dims->back() != kUnknownDim &&
      a->dims->back() != k)
    return "input 0 has rows of " + std::to_string(a->dims->back()) +
           ", K is " + std::to_string(k);
  if (!b)
    return "";
  int64_t wanted = n * ((k + block - 1) / block) * (block * bits / 8);
  int64_t present = 1;
  for (int64_t extent : *b->dims) {
    if (extent == kUnknownDim)
      return "";
    auto product = checkedMul(present, extent);
    if (!product || *product > INT64_MAX)
      return "input 1 is too large";
    present = *product;
  }
  if (present != wanted)
    return "input 1 has " + std::to_string(present) +
           " bytes, K, N, bits and block_size want " + std::to_string(wanted);
  return "";
}

static constexpr OpRow kRows[] = {
    {"Attention", 1,
     "input:T{float}, weights:T, bias?:T, mask_index?:i32, past?:T, "
     "attention_bias?:T, past_sequence_length?:i32",
     "output:T, present?:T",
     "do_rotary:int, mask_filter_value:float, num_heads:int!, "
     "past_present_share_buffer:int, qkv_hidden_sizes:ints, "
     "rotary_embedding_dim:int, scale:float, unidirectional:int=0",
     attentionShape, checkHeads},
    {"BiasAdd", 1, "X:T{float}, bias:T, skip:T", "Y:T", "", likeFirst},
    {"BiasGelu", 1, "A:T{float}, B:T", "C:T", "", likeFirst},
    {"DequantizeLinear", 1, "x:T1{quant}, x_scale:T2{float}, x_zero_point?:T1",
     "y:T2", "axis:int", likeFirst},
    {"DynamicQuantizeMatMul", 1,
     "A:T1{f32}, B:T2{int}, b_scale:T1, b_zero_point?:T2, bias?:T1", "Y:T1", "",
     fusedMatMulShape},
    {"EmbedLayerNormalization", 1,
     "input_ids:i32, segment_ids?:i32, word_embedding:T{float}, "
     "position_embedding:T, segment_embedding?:T, gamma:T, beta:T, mask?:i32, "
     "position_ids?:i32",
     "output:T, mask_index?:i32, embedding_sum?:T",
     "epsilon:float=1e-12, mask_index_type:int", embedShape},
    {"FastGelu", 1, "X:T{float}, bias?:T", "Y:T", "", likeFirst},
    {"FusedMatMul", 1, "A:T{float}, B:T", "Y:T",
     "alpha:float=1.0, transA:int=0, transB:int=0, transBatchA:int=0, "
     "transBatchB:int=0",
     fusedMatMulShape},
    {"Gelu", 1, "X:T{float}", "Y:T", "", likeFirst},
    {"GroupQueryAttention", 1,
     "query:T{float}, key?:T, value?:T, past_key?:T_CACHE{any}, "
     "past_value?:T_CACHE, seqlens_k:i32, total_sequence_length:i32, "
     "cos_cache?:T, sin_cache?:T, position_ids?:i64, attention_bias?:T, "
     "head_sink?:T, k_scale?:f32, v_scale?:f32, q_norm_weight?:T, "
     "k_norm_weight?:T, query_seqlens?:i32",
     "output:T, present_key?:T_CACHE|T, present_value?:T_CACHE|T, "
     "output_qk?:T",
     "causal:int=1, do_rotary:int, k_norm_epsilon:float, "
     "k_quant_type:string=NONE, kv_cache_bit_width:int, kv_num_heads:int!, "
     "local_window_size:int=-1, num_heads:int!, q_norm_epsilon:float, "
     "qk_norm_epsilon:float=1e-06, qk_output:int=0, rotary_interleaved:int, "
     "scale:float, sliding_window_cache:int=0, smooth_softmax:int=-1, "
     "softcap:float, v_quant_type:string=NONE",
     attentionShape, checkHeads},
    {"MatMulIntegerToFloat", 1,
     "A:T1{int}, B:T2{int}, a_scale:T3{float}, b_scale:T3, a_zero_point?:T1, "
     "b_zero_point?:T2, bias?:T3",
     "Y:T3", "", fusedMatMulShape},
    {"MatMulNBits", 1,
     "A:T1{float}, B:u8, scales:T1, zero_points?:T3{any}, g_idx?:i32, "
     "bias?:T1",
     "Y:T1",
     "K:int!, N:int!, accuracy_level:int=0, bits:int=4, block_size:int!, "
     "weight_prepacked:int=0",
     matMulNBitsShape, checkMatMulNBits},
    {"MultiHeadAttention", 1,
     "query:T{float}, key?:T, value?:T, bias?:T, key_padding_mask?:i32, "
     "attention_bias?:T, past_key?:T, past_value?:T, "
     "past_sequence_length?:i32, cache_indirection?:i32",
     "output:T, present_key?:T, present_value?:T, qk?:T",
     "mask_filter_value:float, num_heads:int!, scale:float, "
     "unidirectional:int=0",
     attentionShape, checkHeads},
    {"QuantizeLinear", 1, "x:T1{float}, y_scale:T1, y_zero_point?:T2{quant}",
     "y:T2|u8", "axis:int", likeFirst},
    {"QuickGelu", 1, "X:T{float}", "Y:T", "alpha:float=1.702", likeFirst},
    {"RotaryEmbedding", 1,
     "input:T{float}, position_ids:i64, cos_cache:T, sin_cache:T", "output:T",
     "interleaved:int, is_packed_batching:int, num_heads:int, "
     "rotary_embedding_dim:int, scale:float",
     firstLikeFirst},
    {"SimplifiedLayerNormalization", 1, "X:T{float}, scale:V{float}",
     "Y:V, inv_std_var?:f32",
     "axis:int=-1, epsilon:float=1e-05, stash_type:int=1", firstLikeFirst},
    {"SkipLayerNormalization", 1,
     "input:T{float}, skip:T, gamma:T, beta?:T, bias?:T",
     "output:T, mean?:f32, inv_std_var?:f32, input_skip_bias_sum?:T",
     "epsilon:float=1e-12", skipNormShape},
    {"SkipSimplifiedLayerNormalization", 1,
     "input:T{float}, skip:T, gamma:T, bias?:T",
     "output:T, mean?:f32, inv_std_var?:f32, input_skip_bias_sum?:T",
     "epsilon:float=1e-12", skipNormShape},
    {"TransposeMatMul", 1, "A:T{float}, B:T", "Y:T",
     "alpha:float=1.0, transA:int=0, transB:int=0", fusedMatMulShape},
};

llvm::ArrayRef<OpRow> lathe::contribOps() { return kRows; }
