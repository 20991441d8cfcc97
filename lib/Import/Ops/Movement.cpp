//===- Movement.cpp - Data movement ---------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"
#include "llvm/ADT/Sequence.h"

using namespace lathe;
using shape::likeFirst;
using shape::normalizeAxis;
using shape::ranked;
using shape::setRank;

/// Number of elements of operand `i` if it has rank 1 and a known extent.
static std::optional<int64_t> lengthOf(const NodeInfo &node, unsigned i) {
  const ValueType *type = ranked(node, i);
  if (!type || type->getRank() != 1 || (*type->dims)[0] == kUnknownDim)
    return std::nullopt;
  return (*type->dims)[0];
}

/// The axes of Squeeze, Unsqueeze and Slice: an attribute in old opsets, an
/// operand in new ones.
static std::optional<llvm::SmallVector<int64_t, 8>> axesOf(const NodeInfo &node,
                                                           unsigned operand) {
  if (auto axes = node.getInts("axes"))
    return axes;
  return node.getConstant(operand);
}

static void concatShape(const NodeInfo &node, shape::Results results) {
  const ValueType *first = ranked(node, 0);
  if (!first)
    return;
  std::optional<int64_t> axis =
      normalizeAxis(node.getInt("axis").value_or(1), first->getRank());
  if (!axis)
    return;
  shape::Dims dims = *first->dims;
  for (unsigned i = 1, e = node.getNumInputs(); i < e; ++i) {
    const ValueType *type = ranked(node, i);
    if (!type || type->getRank() != first->getRank()) {
      setRank(results[0], first->getRank());
      return;
    }
    for (int64_t d = 0; d < first->getRank(); ++d) {
      int64_t extent = (*type->dims)[d];
      // Capped, so that a million operands cannot overflow; a result of this
      // size is refused.
      constexpr int64_t kCap = int64_t(1) << 50;
      if (d == *axis)
        dims[d] = dims[d] == kUnknownDim || extent == kUnknownDim
                      ? kUnknownDim
                      : std::min(dims[d] + extent, kCap);
      else if (dims[d] == kUnknownDim)
        dims[d] = extent;
    }
  }
  results[0].dims = dims;
}

static std::string checkConcat(const NodeInfo &node) {
  std::string problem = check::axis(node);
  if (!problem.empty())
    return problem;
  const ValueType *first = ranked(node, 0);
  if (!first)
    return "";
  int64_t rank = first->getRank();
  if (rank == 0)
    return "operands of rank 0 cannot be concatenated";
  int64_t axis = *normalizeAxis(node.getInt("axis").value_or(1), rank);
  for (unsigned i = 1, e = node.getNumInputs(); i < e; ++i) {
    const ValueType *type = ranked(node, i);
    if (!type)
      continue;
    if (type->getRank() != rank)
      return "input " + std::to_string(i) + " has rank " +
             std::to_string(type->getRank()) + ", input 0 has rank " +
             std::to_string(rank);
    for (int64_t d = 0; d < rank; ++d) {
      int64_t left = (*first->dims)[d], right = (*type->dims)[d];
      if (d != axis && left != right && left != kUnknownDim &&
          right != kUnknownDim)
        return "inputs 0 and " + std::to_string(i) + " have extents " +
               std::to_string(left) + " and " + std::to_string(right) +
               " in dim " + std::to_string(d);
    }
  }
  return "";
}

static void splitShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = ranked(node, 0);
  if (!type)
    return;
  std::optional<int64_t> axis =
      normalizeAxis(node.getInt("axis").value_or(0), type->getRank());
  auto sizes = node.getInts("split");
  if (!sizes)
    sizes = node.getConstant(1);
  bool isEven = !sizes && !node.getInput(1);
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].dims = type->dims;
    if (!axis)
      continue;
    int64_t &extent = (*results[i].dims)[*axis];
    int64_t whole = extent;
    extent = kUnknownDim;
    if (sizes && i < sizes->size())
      extent = (*sizes)[i];
    else if (isEven && whole != kUnknownDim &&
             whole % static_cast<int64_t>(results.size()) == 0)
      extent = whole / results.size();
  }
}

static std::string checkSplit(const NodeInfo &node) {
  std::string problem = check::axis(node);
  if (!problem.empty())
    return problem;
  const ValueType *type = ranked(node, 0);
  auto sizes = node.getInts("split");
  if (!sizes)
    sizes = node.getConstant(1);
  if (!sizes && !node.getInput(1)) {
    std::optional<int64_t> parts = node.getInt("num_outputs");
    int64_t outputs = node.getNumOutputs();
    if (parts && *parts != outputs)
      return "num_outputs is " + std::to_string(*parts) + ", the node has " +
             std::to_string(outputs) + " outputs";
    int64_t extent =
        type ? (*type->dims)[*normalizeAxis(node.getInt("axis").value_or(0),
                                            type->getRank())]
             : kUnknownDim;
    if (!parts && extent != kUnknownDim && extent % outputs != 0)
      return "extent " + std::to_string(extent) + " does not split into " +
             std::to_string(outputs) + " equal outputs";
    return "";
  }
  if (!sizes || !type)
    return "";
  if (sizes->size() != node.getNumOutputs())
    return "split has " + std::to_string(sizes->size()) + " sizes for " +
           std::to_string(node.getNumOutputs()) + " outputs";
  int64_t sum = 0;
  for (int64_t size : *sizes) {
    if (size < 0 || size > INT64_MAX - sum)
      return "split has an impossible size " + std::to_string(size);
    sum += size;
  }
  int64_t whole = (*type->dims)[*normalizeAxis(node.getInt("axis").value_or(0),
                                               type->getRank())];
  if (whole != kUnknownDim && whole != sum)
    return "split sizes add up to " + std::to_string(sum) + ", the extent is " +
           std::to_string(whole);
  return "";
}

static void transposeShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = ranked(node, 0);
  auto perm = node.getInts("perm");
  if (!type) {
    if (perm)
      setRank(results[0], perm->size());
    return;
  }
  int64_t rank = type->getRank();
  shape::Dims dims(rank);
  for (int64_t i = 0; i < rank; ++i)
    dims[i] = (*type->dims)[perm ? (*perm)[i] : rank - 1 - i];
  results[0].dims = dims;
}

static std::string checkTranspose(const NodeInfo &node) {
  auto perm = node.getInts("perm");
  if (!perm)
    return "";
  const ValueType *type = ranked(node, 0);
  if (type && static_cast<size_t>(type->getRank()) != perm->size())
    return "perm has " + std::to_string(perm->size()) + " entries for rank " +
           std::to_string(type->getRank());
  llvm::SmallVector<bool> seen(perm->size());
  for (int64_t axis : *perm) {
    if (axis < 0 || axis >= static_cast<int64_t>(seen.size()) || seen[axis])
      return "perm is not a permutation";
    seen[axis] = true;
  }
  return "";
}

static void reshapeShape(const NodeInfo &node, shape::Results results) {
  if (auto sizes = node.getConstant(1)) {
    shape::Dims dims;
    const ValueType *type = ranked(node, 0);
    bool copiesZero = node.getInt("allowzero").value_or(0) == 0;
    for (auto [i, size] : llvm::enumerate(*sizes)) {
      int64_t extent = size < 0 ? kUnknownDim : size;
      if (size == 0 && copiesZero)
        extent = type && static_cast<int64_t>(i) < type->getRank()
                     ? (*type->dims)[i]
                     : kUnknownDim;
      dims.push_back(extent);
    }
    results[0].dims = dims;
    return;
  }
  if (auto rank = lengthOf(node, 1))
    setRank(results[0], *rank);
}

static std::string checkReshape(const NodeInfo &node) {
  auto sizes = node.getConstant(1);
  if (!sizes)
    return "";
  unsigned inferred = 0;
  bool hasZero = false;
  for (int64_t size : *sizes) {
    if (size < -1)
      return "shape has an extent " + std::to_string(size);
    inferred += size == -1;
    hasZero |= size == 0;
  }
  if (inferred > 1)
    return "shape has more than one -1";
  if (inferred && hasZero && node.getInt("allowzero").value_or(0))
    return "shape has both -1 and, with allowzero, 0";
  const ValueType *type = ranked(node, 0);
  if (!type || hasZero)
    return "";
  uint64_t elements = 1, wanted = 1;
  for (int64_t extent : *type->dims) {
    if (extent == kUnknownDim)
      return "";
    auto product = checkedMul(elements, extent);
    if (!product)
      return "operand 0 has more than 2^64 elements";
    elements = *product;
  }
  for (int64_t size : *sizes) {
    auto product = checkedMul(wanted, size == -1 ? 1 : size);
    if (!product)
      return "shape has more than 2^64 elements";
    wanted = *product;
  }
  bool fits =
      inferred ? wanted != 0 && elements % wanted == 0 : elements == wanted;
  if (!fits)
    return std::to_string(elements) + " elements do not fill the shape of " +
           std::to_string(wanted);
  return "";
}

static void flattenShape(const NodeInfo &, shape::Results results) {
  setRank(results[0], 2);
}

static std::string checkFlatten(const NodeInfo &node) {
  const ValueType *type = ranked(node, 0);
  int64_t axis = node.getInt("axis").value_or(1);
  if (!type || (axis >= -type->getRank() && axis <= type->getRank()))
    return "";
  return "axis " + std::to_string(axis) + " is outside [" +
         std::to_string(-type->getRank()) + ", " +
         std::to_string(type->getRank()) + "]";
}

static void unsqueezeShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = ranked(node, 0);
  if (!type)
    return;
  auto axes = axesOf(node, 1);
  if (!axes) {
    if (auto added = lengthOf(node, 1))
      setRank(results[0], type->getRank() + *added);
    return;
  }
  int64_t rank = type->getRank() + axes->size();
  llvm::SmallVector<bool> isNew(rank);
  for (int64_t axis : *axes)
    isNew[*normalizeAxis(axis, rank)] = true;
  shape::Dims dims;
  auto old = type->dims->begin();
  for (int64_t i = 0; i < rank; ++i)
    dims.push_back(isNew[i] ? 1 : *old++);
  results[0].dims = dims;
}

static std::string checkUnsqueeze(const NodeInfo &node) {
  const ValueType *type = ranked(node, 0);
  auto axes = axesOf(node, 1);
  if (!type || !axes)
    return "";
  int64_t rank = type->getRank() + axes->size();
  llvm::SmallVector<bool> seen(rank);
  for (int64_t axis : *axes) {
    auto place = normalizeAxis(axis, rank);
    if (!place)
      return check::isInRange("axis", axis, rank);
    if (seen[*place])
      return "axis " + std::to_string(axis) + " is given twice";
    seen[*place] = true;
  }
  return "";
}

static void squeezeShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = ranked(node, 0);
  if (!type)
    return;
  auto axes = axesOf(node, 1);
  if (!axes) {
    bool dropsAllOnes = !node.getInput(1);
    if (!dropsAllOnes) {
      if (auto dropped = lengthOf(node, 1);
          dropped && *dropped <= type->getRank())
        setRank(results[0], type->getRank() - *dropped);
      return;
    }
    if (llvm::is_contained(*type->dims, kUnknownDim))
      return;
    shape::Dims dims;
    for (int64_t extent : *type->dims)
      if (extent != 1)
        dims.push_back(extent);
    results[0].dims = dims;
    return;
  }
  llvm::SmallVector<bool> isDropped(type->getRank());
  for (int64_t axis : *axes)
    isDropped[*normalizeAxis(axis, type->getRank())] = true;
  shape::Dims dims;
  for (int64_t i = 0; i < type->getRank(); ++i)
    if (!isDropped[i])
      dims.push_back((*type->dims)[i]);
  results[0].dims = dims;
}

static std::string checkSqueeze(const NodeInfo &node) {
  const ValueType *type = ranked(node, 0);
  auto axes = axesOf(node, 1);
  if (!type || !axes)
    return "";
  for (int64_t axis : *axes) {
    auto place = normalizeAxis(axis, type->getRank());
    if (!place)
      return check::isInRange("axis", axis, type->getRank());
    int64_t extent = (*type->dims)[*place];
    if (extent != 1 && extent != kUnknownDim)
      return "axis " + std::to_string(axis) + " has extent " +
             std::to_string(extent) + ", not 1";
  }
  return "";
}

static void expandShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = ranked(node, 0);
  auto length = lengthOf(node, 1);
  if (!type || !length)
    return;
  auto sizes = node.getConstant(1);
  if (!sizes) {
    setRank(results[0], std::max(type->getRank(), *length));
    return;
  }
  llvm::ArrayRef<int64_t> wanted(*sizes);
  results[0].dims = shape::broadcast({*type->dims, wanted});
}

static std::string checkExpand(const NodeInfo &node) {
  if (auto sizes = node.getConstant(1))
    for (int64_t size : *sizes)
      if (size < 0)
        return "shape has a negative extent " + std::to_string(size);
  return "";
}

static void sliceShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = ranked(node, 0);
  if (!type)
    return;
  auto axes = axesOf(node, 3);
  bool touchesFirst = !axes && !node.getInput(3);
  size_t touched = 0;
  if (touchesFirst) {
    auto starts = node.getInts("starts");
    touched =
        starts ? starts->size() : lengthOf(node, 1).value_or(type->getRank());
  }
  results[0].dims = type->dims;
  if (touchesFirst) {
    for (size_t i = 0; i < touched && i < results[0].dims->size(); ++i)
      (*results[0].dims)[i] = kUnknownDim;
    return;
  }
  if (!axes) {
    setRank(results[0], type->getRank());
    return;
  }
  for (int64_t axis : *axes)
    if (auto place = normalizeAxis(axis, type->getRank()))
      (*results[0].dims)[*place] = kUnknownDim;
}

static std::string checkSlice(const NodeInfo &node) {
  if (auto steps = node.getConstant(4))
    if (llvm::is_contained(*steps, 0))
      return "a step is 0";
  const ValueType *type = ranked(node, 0);
  auto axes = axesOf(node, 3);
  if (!type || !axes)
    return "";
  for (int64_t axis : *axes)
    if (std::string problem = check::isInRange("axis", axis, type->getRank());
        !problem.empty())
      return problem;
  return "";
}

static void gatherShape(const NodeInfo &node, shape::Results results) {
  const ValueType *data = ranked(node, 0), *indices = ranked(node, 1);
  if (!data || !indices)
    return;
  auto axis = normalizeAxis(node.getInt("axis").value_or(0), data->getRank());
  if (!axis)
    return;
  shape::Dims dims;
  llvm::ArrayRef<int64_t> from(*data->dims);
  dims.append(from.begin(), from.begin() + *axis);
  dims.append(indices->dims->begin(), indices->dims->end());
  dims.append(from.begin() + *axis + 1, from.end());
  results[0].dims = dims;
}

/// Constant indices of Gather and GatherElements that lie outside their axis.
static std::string checkGather(const NodeInfo &node) {
  std::string problem = check::axis(node);
  const ValueType *data = ranked(node, 0);
  if (!problem.empty() || !data)
    return problem;
  auto axis = normalizeAxis(node.getInt("axis").value_or(0), data->getRank());
  if (!axis)
    return "operand 0 has rank 0";
  int64_t extent = (*data->dims)[*axis];
  auto indices = node.getConstant(1);
  if (!indices || extent == kUnknownDim)
    return "";
  for (int64_t index : *indices)
    if (std::string problem = check::isInRange("index", index, extent);
        !problem.empty())
      return problem;
  return "";
}

static void gatherNdShape(const NodeInfo &node, shape::Results results) {
  const ValueType *data = ranked(node, 0), *indices = ranked(node, 1);
  if (!data || !indices || indices->getRank() == 0)
    return;
  int64_t depth = indices->dims->back();
  int64_t batch = node.getInt("batch_dims").value_or(0);
  if (depth == kUnknownDim || batch < 0 || batch + depth > data->getRank())
    return;
  shape::Dims dims(indices->dims->begin(), indices->dims->end() - 1);
  dims.append(data->dims->begin() + batch + depth, data->dims->end());
  results[0].dims = dims;
}

static void depthToSpaceShape(const NodeInfo &, shape::Results results) {
  setRank(results[0], 4);
}

/// The dims that are cut into blocks: the channels of DepthToSpace, rows and
/// columns of SpaceToDepth.
template <bool isDepth>
static std::string checkBlockSize(const NodeInfo &node) {
  constexpr int64_t kMost = 1 << 20;
  int64_t size = node.getInt("blocksize").value_or(1);
  if (size <= 0)
    return "blocksize is not positive";
  if (size > kMost)
    return "blocksize " + std::to_string(size) + " is impossible";
  const ValueType *type = ranked(node, 0);
  if (!type)
    return "";
  if (type->getRank() != 4)
    return "operand 0 has rank " + std::to_string(type->getRank()) +
           ", wanted is 4";
  int64_t divisor = isDepth ? size * size : size;
  llvm::ArrayRef<int64_t> dims(*type->dims);
  for (int64_t extent : isDepth ? dims.slice(1, 1) : dims.slice(2, 2))
    if (extent != kUnknownDim && extent % divisor != 0)
      return "extent " + std::to_string(extent) + " is no multiple of " +
             std::to_string(divisor);
  return "";
}

/// No extent may be negative, and the pads must be as many as the axes want.
static std::string checkPad(const NodeInfo &node) {
  constexpr int64_t kMost = int64_t(1) << 40;
  llvm::StringRef mode = node.getString("mode").value_or("constant");
  if (mode != "constant" && mode != "reflect" && mode != "edge" &&
      mode != "wrap")
    return "unknown mode '" + mode.str() + "'";
  const ValueType *type = ranked(node, 0);
  auto pads = node.getInts("pads");
  if (!pads)
    pads = node.getConstant(1);
  if (!type || !pads)
    return "";
  llvm::SmallVector<int64_t, 8> axes =
      llvm::to_vector<8>(llvm::seq<int64_t>(0, type->getRank()));
  if (node.getInput(3)) {
    auto written = node.getConstant(3);
    if (!written)
      return "";
    axes = *written;
  }
  if (pads->size() != 2 * axes.size())
    return "pads has " + std::to_string(pads->size()) + " entries for " +
           std::to_string(axes.size()) + " axes";
  for (auto [k, axis] : llvm::enumerate(axes)) {
    auto place = normalizeAxis(axis, type->getRank());
    if (!place)
      return check::isInRange("axis", axis, type->getRank());
    int64_t extent = (*type->dims)[*place];
    for (int64_t amount : {(*pads)[k], (*pads)[k + axes.size()]}) {
      if (amount > kMost || amount < -kMost)
        return "pads has the impossible entry " + std::to_string(amount);
      extent = extent == kUnknownDim ? extent : extent + amount;
      if (extent < 0 && extent != kUnknownDim)
        return "pads leave a negative extent in dim " + std::to_string(*place);
    }
  }
  return "";
}

static std::string checkTile(const NodeInfo &node) {
  const ValueType *type = ranked(node, 0);
  auto repeats = node.getConstant(1);
  if (!repeats)
    return "";
  for (int64_t count : *repeats)
    if (count < 0)
      return "repeats has the impossible entry " + std::to_string(count);
  if (type && repeats->size() != static_cast<size_t>(type->getRank()))
    return "repeats has " + std::to_string(repeats->size()) +
           " entries for rank " + std::to_string(type->getRank());
  return "";
}

static std::string checkReverse(const NodeInfo &node) {
  if (node.getInt("batch_axis").value_or(1) ==
      node.getInt("time_axis").value_or(0))
    return "batch_axis and time_axis are one";
  return check::rankAtLeast(node, 2);
}

static std::string checkTrilu(const NodeInfo &node) {
  return check::rankAtLeast(node, 2);
}

static constexpr OpRow kRows[] = {
    {"CenterCropPad", 18, "input_data:T{any}, shape:Tind{index}",
     "output_data:T", "axes:ints", shape::rankOfFirst},
    {"Concat", 4, "inputs+:T{any}", "concat_result:T", "axis:int!", concatShape,
     checkConcat},
    {"DepthToSpace", 1, "input:T{any}", "output:T", "blocksize:int!",
     depthToSpaceShape, checkBlockSize<true>},
    {"DepthToSpace", 11, "input:T{any}", "output:T",
     "blocksize:int!, mode:string=DCR", depthToSpaceShape,
     checkBlockSize<true>},
    {"Expand", 8, "input:T{any}, shape:i64", "output:T", "", expandShape,
     checkExpand},
    {"Flatten", 1, "input:T{any}", "output:T", "axis:int=1", flattenShape,
     checkFlatten},
    {"Gather", 1, "data:T{any}, indices:Tind{index}", "output:T", "axis:int=0",
     gatherShape, checkGather},
    {"GatherElements", 11, "data:T{any}, indices:Tind{index}", "output:T",
     "axis:int=0", shape::likeSecond, checkGather},
    {"GatherND", 11, "data:T{any}, indices:i64", "output:T", "", gatherNdShape},
    {"GatherND", 12, "data:T{any}, indices:i64", "output:T", "batch_dims:int=0",
     gatherNdShape},
    {"Pad", 2, "data:T{float}", "output:T",
     "mode:string=constant, pads:ints!, value:float=0.0", shape::rankOfFirst,
     checkPad},
    {"Pad", 11, "data:T{any}, pads:i64, constant_value?:T", "output:T",
     "mode:string=constant", shape::rankOfFirst, checkPad},
    {"Pad", 18, "data:T{any}, pads:i64, constant_value?:T, axes?:Tind{index}",
     "output:T", "mode:string=constant", shape::rankOfFirst, checkPad},
    {"Reshape", 5, "data:T{any}, shape:i64", "reshaped:T", "", reshapeShape,
     checkReshape},
    {"Reshape", 14, "data:T{any}, shape:i64", "reshaped:T", "allowzero:int=0",
     reshapeShape, checkReshape},
    {"ReverseSequence", 10, "input:T{any}, sequence_lens:i64", "Y:T",
     "batch_axis:int=1, time_axis:int=0", likeFirst, checkReverse},
    {"Scatter", 9, "data:T{any}, indices:Tind{index}, updates:T", "output:T",
     "axis:int=0", likeFirst, check::axis},
    {"Scatter", 11, nullptr},
    {"ScatterElements", 11, "data:T{any}, indices:Tind{index}, updates:T",
     "output:T", "axis:int=0", likeFirst, check::axis},
    {"ScatterElements", 16, "data:T{any}, indices:Tind{index}, updates:T",
     "output:T", "axis:int=0, reduction:string=none", likeFirst, check::axis},
    {"ScatterND", 11, "data:T{any}, indices:i64, updates:T", "output:T", "",
     likeFirst},
    {"ScatterND", 16, "data:T{any}, indices:i64, updates:T", "output:T",
     "reduction:string=none", likeFirst},
    // Sequences exist only between these two; the symbolic analysis folds them.
    {"SequenceAt", 11, "input_sequence:seq(S{any}), position:I{index}",
     "tensor:S", ""},
    {"Slice", 1, "data:T{any}", "output:T",
     "axes:ints, ends:ints!, starts:ints!", sliceShape, checkSlice},
    {"Slice", 10,
     "data:T{any}, starts:Tind{index}, ends:Tind, axes?:Tind, steps?:Tind",
     "output:T", "", sliceShape, checkSlice},
    {"SpaceToDepth", 1, "input:T{any}", "output:T", "blocksize:int!",
     depthToSpaceShape, checkBlockSize<false>},
    {"SpaceToDepth", 28, "input:T{any}", "output:T",
     "blocksize:int!, mode:string=DCR", depthToSpaceShape,
     checkBlockSize<false>},
    {"Split", 2, "input:T{any}", "outputs+:T", "axis:int=0, split:ints",
     splitShape, checkSplit},
    {"Split", 13, "input:T{any}, split?:i64", "outputs+:T", "axis:int=0",
     splitShape, checkSplit},
    {"Split", 18, "input:T{any}, split?:i64", "outputs+:T",
     "axis:int=0, num_outputs:int", splitShape, checkSplit},
    {"SplitToSequence", 11, "input:T{any}, split?:I{index}",
     "output_sequence:seq(T)", "axis:int=0, keepdims:int=1", nullptr,
     check::axis},
    {"Squeeze", 1, "data:T{any}", "squeezed:T", "axes:ints", squeezeShape,
     checkSqueeze},
    {"Squeeze", 13, "data:T{any}, axes?:i64", "squeezed:T", "", squeezeShape,
     checkSqueeze},
    {"TensorScatter", 24, "past_cache:T{any}, update:T, write_indices?:i64",
     "present_cache:T", "axis:int=-2, mode:string=linear", likeFirst,
     check::axis},
    {"Tile", 6, "input:T{any}, repeats:i64", "output:T", "", shape::rankOfFirst,
     checkTile},
    {"Transpose", 1, "data:T{any}", "transposed:T", "perm:ints", transposeShape,
     checkTranspose},
    {"Trilu", 14, "input:T{any}, k?:i64", "output:T", "upper:int=1", likeFirst,
     checkTrilu},
    {"Unsqueeze", 1, "data:T{any}", "expanded:T", "axes:ints!", unsqueezeShape,
     checkUnsqueeze},
    {"Unsqueeze", 13, "data:T{any}, axes:i64", "expanded:T", "", unsqueezeShape,
     checkUnsqueeze},
};

llvm::ArrayRef<OpRow> lathe::movementOps() { return kRows; }
