//===- WireFormat.cpp - Scanner of ONNX's wire format ---------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WireFormat.h"
#include "llvm/ADT/SmallVector.h"

using namespace lathe;
using llvm::ArrayRef;

namespace {

/// The messages on a way from ModelProto to a TensorProto. Every other message
/// is copied as it is (and checked by protobuf's own parser).
enum class Message : uint8_t {
  Opaque,
  Model,
  Graph,
  Node,
  Attribute,
  Tensor,
  SparseTensor,
  Function,
  TrainingInfo,
};

enum WireType : unsigned {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kFixed32 = 5,
};

// Numbers of TensorProto's fields: raw_data, and the two that Lathe adds.
constexpr unsigned kRawData = 9;
constexpr unsigned kRawOffset = 50001;
constexpr unsigned kRawLength = 50002;

/// An open message: where it ends in the input, and where its length stands in
/// the output.
struct Frame {
  Message kind;
  size_t end;
  size_t lengthAt;
};

class Scanner {
public:
  explicit Scanner(ArrayRef<uint8_t> bytes) : bytes(bytes) {}

  llvm::Expected<std::string> run();

private:
  llvm::Error fail(const llvm::Twine &what, size_t at) const {
    return llvm::createStringError(what + " at byte " + llvm::Twine(at));
  }
  bool readVarint(size_t end, uint64_t &value);
  void writeVarint(uint64_t value);
  llvm::Error copyField();
  llvm::Error enter(Message kind, uint64_t length, size_t fieldAt);
  void leave();

  ArrayRef<uint8_t> bytes;
  size_t at = 0;
  unsigned graphs = 0;
  std::string out;
  llvm::SmallVector<Frame, 32> stack;
};

} // namespace

/// The kind of the message in field `field` of `parent`.
static Message childOf(Message parent, unsigned field) {
  switch (parent) {
  case Message::Model:
    return field == 7    ? Message::Graph
           : field == 20 ? Message::TrainingInfo
           : field == 25 ? Message::Function
                         : Message::Opaque;
  case Message::TrainingInfo:
    return field == 1 || field == 2 ? Message::Graph : Message::Opaque;
  case Message::Function:
    return field == 7    ? Message::Node
           : field == 11 ? Message::Attribute
                         : Message::Opaque;
  case Message::Graph:
    return field == 1    ? Message::Node
           : field == 5  ? Message::Tensor
           : field == 15 ? Message::SparseTensor
                         : Message::Opaque;
  case Message::Node:
    return field == 5 ? Message::Attribute : Message::Opaque;
  case Message::Attribute:
    return field == 5 || field == 10    ? Message::Tensor
           : field == 6 || field == 11  ? Message::Graph
           : field == 22 || field == 23 ? Message::SparseTensor
                                        : Message::Opaque;
  case Message::SparseTensor:
    return field == 1 || field == 2 ? Message::Tensor : Message::Opaque;
  case Message::Tensor:
  case Message::Opaque:
    return Message::Opaque;
  }
  llvm_unreachable("all kinds are handled");
}

bool Scanner::readVarint(size_t end, uint64_t &value) {
  value = 0;
  for (unsigned shift = 0; shift < 70 && at < end; shift += 7) {
    uint64_t byte = bytes[at++];
    // The tenth byte holds one bit.
    if (shift == 63 && byte > 1)
      return false;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80)
      return true;
  }
  return false;
}

void Scanner::writeVarint(uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

/// Bytes of a length that is filled in later: a varint padded to five bytes.
constexpr size_t kPaddedLength = 5;

llvm::Error Scanner::enter(Message kind, uint64_t length, size_t fieldAt) {
  if (kind == Message::Graph && ++graphs > kMaxGraphNesting)
    return fail("graphs are nested deeper than " +
                    llvm::Twine(kMaxGraphNesting) + " levels",
                fieldAt);
  stack.push_back({kind, at + static_cast<size_t>(length), out.size()});
  out.append(kPaddedLength, '\0');
  return llvm::Error::success();
}

void Scanner::leave() {
  Frame frame = stack.pop_back_val();
  if (frame.kind == Message::Graph)
    --graphs;
  uint64_t length = out.size() - frame.lengthAt - kPaddedLength;
  for (size_t i = 0; i < kPaddedLength; ++i) {
    uint8_t more = i + 1 < kPaddedLength ? 0x80 : 0;
    out[frame.lengthAt + i] = static_cast<char>((length & 0x7f) | more);
    length >>= 7;
  }
}

llvm::Error Scanner::copyField() {
  Message kind = stack.back().kind;
  size_t end = stack.back().end;
  size_t fieldAt = at;
  uint64_t tag;
  if (!readVarint(end, tag) || tag > UINT32_MAX || tag >> 3 == 0)
    return fail("bad field tag", fieldAt);
  unsigned field = tag >> 3;
  unsigned wire = tag & 7;

  // What fills a payload's place must come from this scanner alone.
  bool isForged =
      kind == Message::Tensor && (field == kRawOffset || field == kRawLength);
  if (isForged)
    return fail("field number " + llvm::Twine(field) +
                    " is reserved in TensorProto",
                fieldAt);

  uint64_t length = 0;
  switch (wire) {
  case kVarint:
    if (!readVarint(end, length))
      return fail("bad varint", fieldAt);
    length = 0;
    break;
  case kFixed64:
    length = 8;
    break;
  case kFixed32:
    length = 4;
    break;
  case kLengthDelimited: {
    if (!readVarint(end, length))
      return fail("bad length", fieldAt);
    if (length > end - at)
      return fail("length " + llvm::Twine(length) +
                      " goes beyond the end of the message",
                  fieldAt);
    if (kind == Message::Tensor && field == kRawData) {
      writeVarint(uint64_t(kRawOffset) << 3);
      writeVarint(at);
      writeVarint(uint64_t(kRawLength) << 3);
      writeVarint(length);
      at += length;
      return llvm::Error::success();
    }
    Message child = childOf(kind, field);
    if (child != Message::Opaque) {
      writeVarint(tag);
      return enter(child, length, fieldAt);
    }
    break;
  }
  default:
    return fail("wire type " + llvm::Twine(wire) + " is not used by ONNX",
                fieldAt);
  }
  if (length > end - at)
    return fail("the message is cut off", fieldAt);
  at += length;
  out.append(reinterpret_cast<const char *>(bytes.data()) + fieldAt,
             at - fieldAt);
  return llvm::Error::success();
}

llvm::Expected<std::string> Scanner::run() {
  stack.push_back({Message::Model, bytes.size(), 0});
  while (true) {
    while (stack.size() > 1 && at == stack.back().end)
      leave();
    if (at == bytes.size())
      return std::move(out);
    if (llvm::Error error = copyField())
      return std::move(error);
    if (out.size() > INT32_MAX)
      return fail("the graph without its weights is larger than 2 GiB", at);
  }
}

llvm::Expected<std::string> lathe::makeModelSkeleton(ArrayRef<uint8_t> bytes) {
  return Scanner(bytes).run();
}
