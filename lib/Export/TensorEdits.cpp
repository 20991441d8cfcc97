//===- TensorEdits.cpp - new values of tensors in the file ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A weight of the source is a tensor of the file, read row by row or column by
// column. Which tensor is found from the node that the using operation comes
// from, up the graph, by its bytes: equal weights of several nodes are one
// weight in a module, but may be several tensors.
//
//===----------------------------------------------------------------------===//

#include "TensorEdits.h"
#include "lathe/Dialect/PayloadStore.h"
#include "lathe/Import/Onnx.pb.h"
#include "llvm/ADT/StringSet.h"
#include <deque>
#include <set>

using namespace mlir;
using namespace lathe;

namespace {

/// A tensor of the file and how a weight lies in it.
struct Place {
  const TensorData *tensor = nullptr;
  std::string name;
  /// The tensor holds the weight's bytes with rows and columns exchanged.
  bool exchanged = false;
};

class Finder {
public:
  Finder(const ModelDiff &diff, const OnnxModel &file);

  llvm::Expected<TensorEdits> run();

private:
  llvm::Expected<Place> findPlace(WeightUse use);
  bool matches(const TensorData &tensor, WeightOp weight, bool exchanged);
  llvm::Error addConstant(ConstantChange change);
  llvm::Error addWeight(WeightUse use);
  llvm::Error checkReaders();
  StringRef hashOf(const TensorData &tensor, WeightOp weight, bool exchanged);

  const ModelDiff &diff;
  const OnnxModel &file;
  /// Nodes and tensors by the name of the value.
  llvm::StringMap<const OnnxNode *> makers;
  llvm::StringMap<const TensorData *> tensors;
  std::map<std::pair<const TensorData *, int64_t>, std::string> hashes;
  TensorEdits edits;
  /// Nodes from which operations with the new value come, by tensor.
  std::map<std::string, llvm::StringSet<>> readers;
  std::set<std::pair<std::string, Operation *>> done;
};

} // namespace

//===----------------------------------------------------------------------===//
// Where a weight lies
//===----------------------------------------------------------------------===//

Finder::Finder(const ModelDiff &diff, const OnnxModel &file)
    : diff(diff), file(file) {
  for (const auto &[name, tensor] : file.getInitializers())
    tensors[name] = tensor;
  for (const OnnxNode &node : file.getNodes())
    for (const std::string &output : node.proto->output()) {
      makers[output] = &node;
      if (node.constant)
        tensors[output] = node.constant;
    }
}

/// The dense encoding of a weight with one part, or null.
static DenseAttr getDense(WeightOp weight) {
  return dyn_cast<DenseAttr>(weight.getWeightType().getEncoding());
}

/// Extents of a weight as its bytes lie.
static SmallVector<int64_t> getStoredShape(WeightOp weight) {
  SmallVector<int64_t> shape(weight.getWeightType().getShape());
  if (DenseAttr dense = getDense(weight); dense && dense.getTransposed())
    std::swap(shape[0], shape[1]);
  return shape;
}

/// Exchanges rows and columns of elements of `width` bytes.
static std::vector<char> exchange(ArrayRef<char> bytes, int64_t rows,
                                  int64_t columns, int64_t width) {
  std::vector<char> result(bytes.size());
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      std::copy_n(bytes.data() + (r * columns + c) * width, width,
                  result.data() + (c * rows + r) * width);
  return result;
}

static ArrayRef<char> toChars(ArrayRef<uint8_t> bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

static int64_t getWidth(WeightOp weight) {
  return getDense(weight).getElementType().getIntOrFloatBitWidth() / 8;
}

/// Hash of the tensor's bytes, with rows and columns exchanged if wanted, so
/// that they lie as the weight's do.
StringRef Finder::hashOf(const TensorData &tensor, WeightOp weight,
                         bool exchanged) {
  SmallVector<int64_t> shape = getStoredShape(weight);
  std::string &hash = hashes[{&tensor, exchanged ? shape[0] : 0}];
  if (!hash.empty())
    return hash;
  ArrayRef<char> bytes = toChars(tensor.bytes);
  hash = exchanged ? PayloadStore::hash(
                         exchange(bytes, shape[1], shape[0], getWidth(weight)))
                   : PayloadStore::hash(bytes);
  return hash;
}

bool Finder::matches(const TensorData &tensor, WeightOp weight,
                     bool exchanged) {
  auto blob = weight.getParts().getAs<PayloadAttr>("data");
  if (static_cast<int64_t>(tensor.bytes.size()) != blob.getBytes() ||
      (exchanged && weight.getWeightType().getRank() != 2))
    return false;
  return hashOf(tensor, weight, exchanged) == blob.getHash();
}

/// Name of the value that `op` comes from.
static std::string valueName(Operation *op) {
  auto from = dyn_cast_or_null<DictionaryAttr>(
      op->getDiscardableAttr(LatheDialect::kFromAttr));
  auto outputs = from ? from.getAs<ArrayAttr>("outputs") : ArrayAttr();
  auto name = outputs && !outputs.empty() ? dyn_cast<StringAttr>(outputs[0])
                                          : StringAttr();
  return name ? name.str() : "";
}

llvm::Expected<Place> Finder::findPlace(WeightUse use) {
  if (!getDense(use.before))
    return llvm::createStringError("is not dense in the source");
  for (bool exchanged : {false, true}) {
    std::deque<std::string> pending{valueName(use.op)};
    llvm::StringSet<> seen;
    while (!pending.empty()) {
      std::string name = std::move(pending.front());
      pending.pop_front();
      if (name.empty() || !seen.insert(name).second)
        continue;
      if (const TensorData *tensor = tensors.lookup(name)) {
        if (matches(*tensor, use.before, exchanged))
          return Place{tensor, name, exchanged};
        continue;
      }
      if (const OnnxNode *node = makers.lookup(name))
        llvm::append_range(pending, node->proto->input());
    }
  }
  return llvm::createStringError("is computed from several tensors of the "
                                 "file, so none can take its new value");
}

//===----------------------------------------------------------------------===//
// What is to stand there
//===----------------------------------------------------------------------===//

/// Writes `values` in `type`; false if a value would change.
static bool encode(ArrayRef<float> values, Type type, std::vector<char> &out) {
  const llvm::fltSemantics &semantics =
      cast<FloatType>(type).getFloatSemantics();
  unsigned width = type.getIntOrFloatBitWidth() / 8;
  out.reserve(values.size() * width);
  for (float value : values) {
    APFloat number(value);
    bool losesInfo;
    number.convert(semantics, APFloat::rmNearestTiesToEven, &losesInfo);
    if (losesInfo)
      return false;
    uint64_t bits = number.bitcastToAPInt().getZExtValue();
    for (unsigned i = 0; i < width; ++i)
      out.push_back(static_cast<char>(bits >> (8 * i)));
  }
  return true;
}

/// The bytes of `now` as `before` is written.
static llvm::Expected<std::vector<char>> encodeLike(WeightOp now,
                                                    WeightOp before) {
  PayloadStore &store = getPayloads(now);
  DenseAttr from = getDense(now), to = getDense(before);
  if (!from)
    return llvm::createStringError(
        "is written as " +
        now.getWeightType().getEncoding().getAbstractAttribute().getName() +
        ", for which no ONNX form is known");
  if (from == to) {
    auto bytes = store.read(now.getParts().getAs<PayloadAttr>("data"));
    if (!bytes)
      return bytes.takeError();
    return std::vector<char>(bytes->begin(), bytes->end());
  }
  WeightType type = now.getWeightType();
  std::vector<float> values(type.getNumElements());
  if (llvm::Error error =
          from.decode(store, type.getShape(), now.getParts(), values))
    return std::move(error);
  std::vector<char> bytes;
  if (!encode(values, to.getElementType(), bytes)) {
    std::string element;
    llvm::raw_string_ostream(element) << to.getElementType();
    return llvm::createStringError("has new values that the tensor's type " +
                                   element + " cannot hold exactly");
  }
  if (to.getTransposed())
    bytes = exchange(bytes, type.getDim(0), type.getDim(1),
                     to.getElementType().getIntOrFloatBitWidth() / 8);
  return bytes;
}

/// The dims of a tensor of dims `dims` in which a weight lay as `before` and
/// now lies as `now`; nothing if it does not show which dims changed.
static std::optional<std::vector<int64_t>> fitDims(ArrayRef<int64_t> dims,
                                                   ArrayRef<int64_t> before,
                                                   ArrayRef<int64_t> now) {
  std::vector<int64_t> result(dims.begin(), dims.end());
  if (before == now)
    return result;
  if (before.size() != now.size())
    return std::nullopt;
  size_t next = 0;
  for (int64_t &extent : result) {
    // The tensor may have ones that the weight does not, and the other way.
    while (next < before.size() && before[next] == 1 && extent != 1 &&
           now[next] == 1)
      ++next;
    if (next < before.size() && extent == before[next])
      extent = now[next++];
    else if (extent != 1)
      return std::nullopt;
  }
  return next == before.size() ? std::optional(result) : std::nullopt;
}

llvm::Error Finder::addWeight(WeightUse use) {
  auto fail = [&](const llvm::Twine &reason) {
    return llvm::createStringError("weight '" + use.before.getSymName() + "' " +
                                   reason);
  };
  auto place = findPlace(use);
  if (!place)
    return fail(llvm::toString(place.takeError()));
  readers[place->name].insert(valueName(use.op));
  // Each entry has the same uses.
  if (!done.insert({place->name, use.after}).second)
    return llvm::Error::success();
  auto bytes = encodeLike(use.after, use.before);
  if (!bytes)
    return fail(llvm::toString(bytes.takeError()));

  SmallVector<int64_t> before = getStoredShape(use.before);
  SmallVector<int64_t> now(use.after.getWeightType().getShape());
  if (getDense(use.before).getTransposed())
    std::swap(now[0], now[1]);
  if (place->exchanged) {
    *bytes = exchange(*bytes, now[0], now[1], getWidth(use.before));
    std::swap(before[0], before[1]);
    std::swap(now[0], now[1]);
  }
  auto dims = fitDims(place->tensor->dims, before, now);
  if (!dims)
    return fail("has another shape, and the dims of the tensor '" +
                llvm::Twine(place->name) + "' do not follow it");
  TensorEdit edit{std::move(*dims), std::move(*bytes)};
  // The edit is moved only if the name is new.
  auto [old, isNew] = edits.try_emplace(place->name, std::move(edit));
  if (!isNew &&
      (old->second.dims != edit.dims || old->second.bytes != edit.bytes))
    return fail("shares the tensor '" + llvm::Twine(place->name) +
                "' with another weight that has other values now");
  return llvm::Error::success();
}

llvm::Error Finder::addConstant(ConstantChange change) {
  std::string name = change.before.getName()->str();
  const TensorData *tensor = tensors.lookup(name);
  auto fail = [&](const llvm::Twine &reason) {
    return llvm::createStringError("constant '" + llvm::Twine(name) + "' " +
                                   reason);
  };
  if (!tensor)
    return fail("is no tensor of the file");
  auto bytes = getPayloads(change.after).read(change.after.getValue());
  if (!bytes)
    return fail(llvm::toString(bytes.takeError()));
  TensorEdit edit{{tensor->dims.begin(), tensor->dims.end()},
                  {bytes->begin(), bytes->end()}};
  auto [old, isNew] = edits.try_emplace(name, edit);
  if (!isNew && old->second.bytes != edit.bytes)
    return fail("has several new values");
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// All
//===----------------------------------------------------------------------===//

/// A weight that is written with the same bytes in the same way.
static bool isSame(WeightOp a, WeightOp b) {
  if (a.getType() != b.getType() || a.getParts().size() != b.getParts().size())
    return false;
  return llvm::all_of(a.getParts(), [&](NamedAttribute part) {
    auto one = dyn_cast<PayloadAttr>(part.getValue());
    auto other = b.getParts().getAs<PayloadAttr>(part.getName());
    return one && other && one.getHash() == other.getHash();
  });
}

/// Whatever reads a tensor must be one of the operations that want its new
/// value.
llvm::Error Finder::checkReaders() {
  llvm::StringMap<unsigned> counts;
  for (const OnnxNode &node : file.getNodes())
    for (const std::string &input : node.proto->input())
      ++counts[input];
  for (auto &[name, from] : readers)
    if (counts.lookup(name) > from.size())
      return llvm::createStringError(
          "tensor '" + name + "' has new values, and " +
          llvm::Twine(counts.lookup(name) - from.size()) +
          " more of the nodes that read it want the old ones");
  return llvm::Error::success();
}

llvm::Expected<TensorEdits> Finder::run() {
  // Uses of a weight that keep its values matter where others change them.
  llvm::SmallPtrSet<Operation *, 8> changed;
  for (WeightUse use : diff.weights)
    if (!isSame(use.before, use.after))
      changed.insert(use.before);
  for (WeightUse use : diff.weights)
    if (changed.contains(use.before))
      if (llvm::Error error = addWeight(use))
        return std::move(error);
  for (ConstantChange change : diff.constants)
    if (llvm::Error error = addConstant(change))
      return std::move(error);
  if (llvm::Error error = checkReaders())
    return std::move(error);
  return std::move(edits);
}

llvm::Expected<TensorEdits> lathe::findTensorEdits(const ModelDiff &diff,
                                                   const OnnxModel &file) {
  return Finder(diff, file).run();
}
