//===- Convolution.cpp - Convolution, pooling and resampling --------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"
#include <cmath>

using namespace lathe;
using shape::ranked;
using shape::setRank;

/// Entry `i` of a per-axis list, or the default that ONNX gives it.
static int64_t entry(const std::optional<llvm::SmallVector<int64_t, 8>> &list,
                     size_t i, int64_t otherwise) {
  return list && i < list->size() ? (*list)[i] : otherwise;
}

/// Extents of the window's result over spatial axes; unknown where padding is
/// automatic, sizes round up or the extent is unknown. The lists fit the rank
/// (checkWindow).
static shape::Dims windowDims(const NodeInfo &node,
                              llvm::ArrayRef<int64_t> spatial,
                              llvm::ArrayRef<int64_t> kernel) {
  shape::Dims dims(spatial.size(), kUnknownDim);
  llvm::StringRef padding = node.getString("auto_pad").value_or("NOTSET");
  if ((padding != "NOTSET" && padding != "VALID") ||
      node.getInt("ceil_mode").value_or(0))
    return dims;
  auto strides = node.getInts("strides");
  auto dilations = node.getInts("dilations");
  std::optional<llvm::SmallVector<int64_t, 8>> pads;
  if (padding == "NOTSET")
    pads = node.getInts("pads");
  for (size_t i = 0; i < spatial.size(); ++i) {
    if (spatial[i] == kUnknownDim || kernel[i] == kUnknownDim)
      continue;
    int64_t reach = entry(dilations, i, 1) * (kernel[i] - 1) + 1;
    int64_t whole =
        spatial[i] + entry(pads, i, 0) + entry(pads, i + spatial.size(), 0);
    if (whole >= reach)
      dims[i] = (whole - reach) / entry(strides, i, 1) + 1;
  }
  return dims;
}

/// Kernel extents: the attribute, or the weight's shape behind operand
/// `weight`.
static std::optional<llvm::SmallVector<int64_t, 8>>
kernelOf(const NodeInfo &node, std::optional<unsigned> weight) {
  if (auto kernel = node.getInts("kernel_shape"))
    return kernel;
  if (!weight)
    return std::nullopt;
  const ValueType *type = ranked(node, *weight);
  if (!type || type->getRank() < 3)
    return std::nullopt;
  return llvm::SmallVector<int64_t, 8>(type->dims->begin() + 2,
                                       type->dims->end());
}

/// Lists of one entry (pads: two) per spatial axis, all in range.
static std::string checkWindow(const NodeInfo &node,
                               std::optional<unsigned> weight) {
  const ValueType *type = ranked(node, 0);
  auto kernel = kernelOf(node, weight);
  if (type && type->getRank() < 3)
    return "operand 0 has rank " + std::to_string(type->getRank()) +
           ", at least 3 is wanted";
  std::optional<size_t> axes;
  if (type)
    axes = type->getRank() - 2;
  else if (kernel)
    axes = kernel->size();
  struct List {
    const char *name;
    size_t perAxis;
    int64_t least;
  };
  constexpr int64_t kMost = int64_t(1) << 31;
  for (List list : {List{"kernel_shape", 1, 1}, List{"strides", 1, 1},
                    List{"dilations", 1, 1}, List{"pads", 2, 0}}) {
    auto values = node.getInts(list.name);
    if (!values)
      continue;
    if (axes && values->size() != *axes * list.perAxis)
      return std::string(list.name) + " has " + std::to_string(values->size()) +
             " entries for " + std::to_string(*axes) + " spatial axes";
    for (int64_t value : *values)
      if (value < list.least || value > kMost)
        return std::string(list.name) + " has the impossible entry " +
               std::to_string(value);
  }
  if (node.getInt("group").value_or(1) < 1)
    return "group is not positive";
  return "";
}

static std::string checkConv(const NodeInfo &node) {
  std::string problem = checkWindow(node, 1);
  if (!problem.empty())
    return problem;
  const ValueType *x = ranked(node, 0), *w = ranked(node, 1);
  if (!x || !w)
    return "";
  if (x->getRank() != w->getRank())
    return "operands have ranks " + std::to_string(x->getRank()) + " and " +
           std::to_string(w->getRank());
  int64_t group = node.getInt("group").value_or(1);
  int64_t channels = (*x->dims)[1], perGroup = (*w->dims)[1];
  int64_t outputs = (*w->dims)[0];
  if (channels != kUnknownDim && perGroup != kUnknownDim &&
      (channels % group != 0 || channels / group != perGroup))
    return std::to_string(channels) + " channels in " + std::to_string(group) +
           " groups do not fit a weight of " + std::to_string(perGroup) +
           " channels";
  if (outputs != kUnknownDim && outputs % group != 0)
    return std::to_string(outputs) + " outputs do not divide into " +
           std::to_string(group) + " groups";
  auto kernel = node.getInts("kernel_shape");
  for (size_t i = 0; kernel && i < kernel->size(); ++i) {
    int64_t extent = (*w->dims)[i + 2];
    if (extent != kUnknownDim && extent != (*kernel)[i])
      return "kernel_shape differs from the weight's shape";
  }
  return "";
}

template <unsigned kWeight>
static void convShape(const NodeInfo &node, shape::Results results) {
  const ValueType *x = ranked(node, 0), *w = ranked(node, kWeight);
  auto kernel = kernelOf(node, kWeight);
  if (!x || !kernel ||
      x->getRank() != static_cast<int64_t>(kernel->size()) + 2) {
    shape::rankOfFirst(node, results);
    return;
  }
  shape::Dims dims = {(*x->dims)[0], w ? (*w->dims)[0] : kUnknownDim};
  dims.append(
      windowDims(node, llvm::ArrayRef(*x->dims).drop_front(2), *kernel));
  results[0].dims = dims;
}

static std::string checkPool(const NodeInfo &node) {
  return checkWindow(node, std::nullopt);
}

static std::string checkMaxPool(const NodeInfo &node) {
  if (node.getNumOutputs() > 1)
    return "the output 'Indices' is not supported";
  return checkPool(node);
}

static std::string checkConvTranspose(const NodeInfo &node) {
  return checkWindow(node, 1);
}

static void poolShape(const NodeInfo &node, shape::Results results) {
  const ValueType *x = ranked(node, 0);
  auto kernel = node.getInts("kernel_shape");
  if (!x || !kernel)
    return;
  shape::Dims dims(x->dims->begin(), x->dims->begin() + 2);
  dims.append(
      windowDims(node, llvm::ArrayRef(*x->dims).drop_front(2), *kernel));
  for (ValueType &result : results)
    result.dims = dims;
}

static void convTransposeShape(const NodeInfo &node, shape::Results results) {
  shape::rankOfFirst(node, results);
  const ValueType *x = ranked(node, 0), *w = ranked(node, 1);
  if (!x || x->getRank() < 2)
    return;
  (*results[0].dims)[0] = (*x->dims)[0];
  int64_t perGroup = w && w->getRank() >= 2 ? (*w->dims)[1] : kUnknownDim;
  if (perGroup != kUnknownDim)
    if (auto channels = checkedMul(perGroup, node.getInt("group").value_or(1)))
      (*results[0].dims)[1] = *channels;
}

static void globalPoolShape(const NodeInfo &node, shape::Results results) {
  const ValueType *x = ranked(node, 0);
  if (!x || x->getRank() < 2)
    return;
  shape::Dims dims(x->getRank(), 1);
  dims[0] = (*x->dims)[0];
  dims[1] = (*x->dims)[1];
  results[0].dims = dims;
}

/// Positive numbers, and no mode but the usual ones.
static std::string checkScales(const NodeInfo &node, unsigned operand) {
  llvm::StringRef mode = node.getString("mode").value_or("nearest");
  if (mode != "nearest" && mode != "linear" && mode != "cubic")
    return "unknown mode '" + mode.str() + "'";
  if (auto scales = node.getFloatConstant(operand))
    for (float scale : *scales)
      if (!(scale > 0 && std::isfinite(scale)))
        return "a scale is not a positive number";
  return "";
}

static std::string checkUpsample(const NodeInfo &node) {
  return checkScales(node, 1);
}

static std::string checkGridSample(const NodeInfo &node) {
  const ValueType *x = ranked(node, 0), *grid = ranked(node, 1);
  if (!x || !grid)
    return "";
  if (x->getRank() != grid->getRank() || x->getRank() < 3)
    return "the grid has rank " + std::to_string(grid->getRank()) +
           ", operand 0 has " + std::to_string(x->getRank());
  int64_t places = grid->dims->back();
  if (places != kUnknownDim && places != x->getRank() - 2)
    return "the grid has places of " + std::to_string(places) +
           " numbers, wanted are " + std::to_string(x->getRank() - 2);
  return "";
}

static std::string checkResize(const NodeInfo &node) {
  std::string problem = checkScales(node, 2);
  if (!problem.empty())
    return problem;
  if (auto sizes = node.getConstant(3))
    for (int64_t size : *sizes)
      if (size < 0)
        return "sizes has the impossible entry " + std::to_string(size);
  if (node.getString("coordinate_transformation_mode") == "tf_crop_and_resize")
    return "coordinate_transformation_mode tf_crop_and_resize is not supported";
  return "";
}

/// Attributes that all windowed operators share.
#define LATHE_CONV_ATTRS                                                       \
  "auto_pad:string=NOTSET, dilations:ints, group:int=1, kernel_shape:ints, "   \
  "pads:ints, strides:ints"
#define LATHE_RESIZE_ATTRS                                                     \
  "coordinate_transformation_mode:string=half_pixel, "                         \
  "cubic_coeff_a:float=-0.75, exclude_outside:int=0, "                         \
  "extrapolation_value:float=0.0, mode:string=nearest, "                       \
  "nearest_mode:string=round_prefer_floor"

static constexpr OpRow kRows[] = {
    {"AveragePool", 7, "X:T{float}", "Y:T",
     "auto_pad:string=NOTSET, count_include_pad:int=0, kernel_shape:ints!, "
     "pads:ints, strides:ints",
     poolShape, checkPool},
    {"AveragePool", 10, "X:T{float}", "Y:T",
     "auto_pad:string=NOTSET, ceil_mode:int=0, count_include_pad:int=0, "
     "kernel_shape:ints!, pads:ints, strides:ints",
     poolShape, checkPool},
    {"AveragePool", 19, "X:T{float}", "Y:T",
     "auto_pad:string=NOTSET, ceil_mode:int=0, count_include_pad:int=0, "
     "dilations:ints, kernel_shape:ints!, pads:ints, strides:ints",
     poolShape, checkPool},
    {"Conv", 1, "X:T{float}, W:T, B?:T", "Y:T", LATHE_CONV_ATTRS, convShape<1>,
     checkConv},
    {"ConvInteger", 10,
     "x:T1{int}, w:T2{int}, x_zero_point?:T1, w_zero_point?:T2", "y:i32",
     LATHE_CONV_ATTRS, convShape<1>, checkConv},
    {"ConvTranspose", 1, "X:T{float}, W:T, B?:T", "Y:T",
     "auto_pad:string=NOTSET, dilations:ints, group:int=1, kernel_shape:ints, "
     "output_padding:ints, output_shape:ints, pads:ints, strides:ints",
     convTransposeShape, checkConvTranspose},
    {"GlobalAveragePool", 1, "X:T{float}", "Y:T", "", globalPoolShape},
    {"GlobalLpPool", 2, "X:T{float}", "Y:T", "p:int=2", globalPoolShape},
    {"GlobalMaxPool", 1, "X:T{float}", "Y:T", "", globalPoolShape},
    {"GridSample", 16, "X:T1{any}, grid:T2{float}", "Y:T1",
     "align_corners:int=0, mode:string=bilinear, padding_mode:string=zeros",
     shape::rankOfFirst, checkGridSample},
    {"GridSample", 20, "X:T1{any}, grid:T2{float}", "Y:T1",
     "align_corners:int=0, mode:string=linear, padding_mode:string=zeros",
     shape::rankOfFirst, checkGridSample},
    {"LpPool", 2, "X:T{float}", "Y:T",
     "auto_pad:string=NOTSET, kernel_shape:ints!, p:int=2, pads:ints, "
     "strides:ints",
     poolShape, checkPool},
    {"LpPool", 18, "X:T{float}", "Y:T",
     "auto_pad:string=NOTSET, ceil_mode:int=0, dilations:ints, "
     "kernel_shape:ints!, p:int=2, pads:ints, strides:ints",
     poolShape, checkPool},
    {"MaxPool", 1, "X:T{float}", "Y:T",
     "auto_pad:string=NOTSET, kernel_shape:ints!, pads:ints, strides:ints",
     poolShape, checkMaxPool},
    {"MaxPool", 8, "X:T{float}", "Y:T, Indices?:i64",
     "auto_pad:string=NOTSET, kernel_shape:ints!, pads:ints, "
     "storage_order:int=0, strides:ints",
     poolShape, checkMaxPool},
    {"MaxPool", 10, "X:T{num}", "Y:T, Indices?:i64",
     "auto_pad:string=NOTSET, ceil_mode:int=0, dilations:ints, "
     "kernel_shape:ints!, pads:ints, storage_order:int=0, strides:ints",
     poolShape, checkMaxPool},
    {"QLinearConv", 10,
     "x:T1{int}, x_scale:f32, x_zero_point:T1, w:T2{int}, w_scale:f32, "
     "w_zero_point:T2, y_scale:f32, y_zero_point:T3{int}, B?:i32",
     "y:T3", LATHE_CONV_ATTRS, convShape<3>, checkPool},
    {"Resize", 10, "X:T{any}, scales:f32", "Y:T", "mode:string=nearest",
     shape::rankOfFirst, checkUpsample},
    {"Resize", 11, "X:T1{any}, roi:T2{float}, scales:f32, sizes?:i64", "Y:T1",
     LATHE_RESIZE_ATTRS, shape::rankOfFirst, checkResize},
    {"Resize", 13, "X:T1{any}, roi?:T2{float}, scales?:f32, sizes?:i64", "Y:T1",
     LATHE_RESIZE_ATTRS, shape::rankOfFirst, checkResize},
    {"Resize", 18, "X:T1{any}, roi?:T2{float}, scales?:f32, sizes?:i64", "Y:T1",
     "antialias:int=0, axes:ints, "
     "keep_aspect_ratio_policy:string=stretch, " LATHE_RESIZE_ATTRS,
     shape::rankOfFirst, checkResize},
    {"Upsample", 7, "X:T{any}", "Y:T", "mode:string=nearest, scales:floats!",
     shape::rankOfFirst, checkUpsample},
    {"Upsample", 9, "X:T{any}, scales:f32", "Y:T", "mode:string=nearest",
     shape::rankOfFirst, checkUpsample},
    {"Upsample", 10, nullptr},
};

#undef LATHE_CONV_ATTRS
#undef LATHE_RESIZE_ATTRS

llvm::ArrayRef<OpRow> lathe::convolutionOps() { return kRows; }
