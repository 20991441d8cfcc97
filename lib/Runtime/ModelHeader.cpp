//===- ModelHeader.cpp - model.h of a compiled folder -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/ModelHeader.h"

#include <algorithm>
#include <set>

using namespace lathe::rt;

/// Entries with more tensors get no typed function.
static constexpr size_t mostArguments = 24;

/// `name` with all that no C identifier has replaced by '_'.
static std::string identifier(const std::string &name) {
  std::string text;
  for (unsigned char c : name)
    text += c < 128 && std::isalnum(c) ? char(c) : '_';
  return text;
}

static std::string upper(std::string text) {
  for (char &c : text)
    c = std::toupper(static_cast<unsigned char>(c));
  return text;
}

/// `name` as part of a comment: one line, neither begin nor end of a comment.
static std::string comment(const std::string &name) {
  std::string text;
  for (unsigned char c : name) {
    char last = text.empty() ? ' ' : text.back();
    bool mark = (c == '/' && last == '*') || (c == '*' && last == '/');
    text += c < 32 || c == 127 || c == '\\' || mark ? '?' : char(c);
  }
  return text;
}

/// `name` as a C string literal.
static std::string literal(const std::string &name) {
  static const char digits[] = "01234567";
  std::string text = "\"";
  for (unsigned char c : name) {
    // Octal: a hexadecimal escape would take up digits that follow, and '?'
    // could begin a trigraph.
    if (c < 32 || c >= 127 || c == '"' || c == '\\' || c == '?') {
      text += '\\';
      text += digits[c >> 6];
      text += digits[c >> 3 & 7];
      text += digits[c & 7];
    } else {
      text += char(c);
    }
  }
  return text + "\"";
}

static const char *cType(DType dtype) {
  switch (dtype) {
  case DType::F32:
    return "float";
  case DType::F64:
    return "double";
  case DType::F16:
  case DType::BF16:
  case DType::UI16:
    return "uint16_t";
  case DType::I8:
    return "int8_t";
  case DType::I16:
    return "int16_t";
  case DType::I32:
    return "int32_t";
  case DType::I64:
    return "int64_t";
  case DType::UI32:
    return "uint32_t";
  case DType::UI64:
    return "uint64_t";
  default:
    return "uint8_t";
  }
}

/// The enumerator of lathe.h.
static std::string dtypeConstant(DType dtype) {
  return "LATHE_" + upper(dtypeName(dtype));
}

static std::string shapeComment(const ValueDecl &tensor) {
  std::string text;
  for (const Expr &dim : tensor.shape)
    text += (text.empty() ? "" : ", ") + dim.str();
  return std::string(dtypeName(tensor.dtype)) + " [" + comment(text) + "]";
}

namespace {
/// Gives each name of a scope its own identifier.
class Identifiers {
public:
  std::string add(const std::string &prefix, const std::string &name) {
    std::string base = prefix + identifier(name), text = base;
    for (unsigned i = 2; !taken.insert(text).second; ++i)
      text = base + "_" + std::to_string(i);
    return text;
  }

private:
  std::set<std::string> taken;
};

class HeaderWriter {
public:
  explicit HeaderWriter(const Manifest &manifest) : manifest(manifest) {}
  std::string run();

private:
  std::string removedComment() const;
  void writeHelpers();
  void writeEntry(const Entry &entry);
  void writeConstants(const Entry &entry, const std::string &id);
  void writeFunction(const Entry &entry);
  std::string expression(const Entry &entry, const Expr &expr) const;
  std::string binary(const Entry &entry, const Expr &expr,
                     const char *function) const;

  const Manifest &manifest;
  std::string text;
  Identifiers macros, functions;
  // Of the entry in hand.
  std::string entryMacro;
  std::vector<std::string> dimIds;
};
} // namespace

/// A C expression that nests calls of a helper over the operands.
std::string HeaderWriter::binary(const Entry &entry, const Expr &expr,
                                 const char *function) const {
  std::string result = expression(entry, expr.args[0]);
  for (size_t i = 1; i < expr.args.size(); ++i)
    result = std::string(function) + "(" + result + ", " +
             expression(entry, expr.args[i]) + ")";
  return result;
}

std::string HeaderWriter::expression(const Entry &entry,
                                     const Expr &expr) const {
  switch (expr.kind) {
  case Expr::Kind::Constant:
    return "INT64_C(" + std::to_string(expr.value) + ")";
  case Expr::Kind::Dim:
    for (size_t i = 0; i < entry.dims.size(); ++i)
      if (entry.dims[i] == expr.name)
        return dimIds[i];
    return "0";
  case Expr::Kind::Add:
  case Expr::Kind::Mul: {
    std::string result;
    for (const Expr &arg : expr.args)
      result += (result.empty()                 ? ""
                 : expr.kind == Expr::Kind::Add ? " + "
                                                : " * ") +
                expression(entry, arg);
    return "(" + result + ")";
  }
  case Expr::Kind::FloorDiv:
    return binary(entry, expr, "lathe_model_fdiv");
  case Expr::Kind::Mod:
    return binary(entry, expr, "lathe_model_mod");
  case Expr::Kind::Min:
    return binary(entry, expr, "lathe_model_min");
  case Expr::Kind::Max:
    return binary(entry, expr, "lathe_model_max");
  }
  return "0";
}

void HeaderWriter::writeHelpers() {
  text += R"(#ifndef LATHE_MODEL_HELPERS
#define LATHE_MODEL_HELPERS
static inline int64_t lathe_model_fdiv(int64_t a, int64_t b) {
  return b == 0 ? 0 : a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}
static inline int64_t lathe_model_mod(int64_t a, int64_t b) {
  return a - b * lathe_model_fdiv(a, b);
}
static inline int64_t lathe_model_min(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static inline int64_t lathe_model_max(int64_t a, int64_t b) {
  return a < b ? b : a;
}
#endif /* LATHE_MODEL_HELPERS */

)";
}

void HeaderWriter::writeConstants(const Entry &entry, const std::string &id) {
  std::string prefix = "MODEL_" + upper(id);
  auto define = [&](const std::string &name, const std::string &value,
                    const std::string &note) {
    text += "#define " + macros.add("", name) + " " + value;
    text += note.empty() ? "\n" : " /* " + note + " */\n";
  };
  entryMacro = macros.add("", prefix);
  text += "/* Entry " + comment(entry.name) + ". */\n";
  text += "#define " + entryMacro + " " + literal(entry.name) + "\n";
  define(prefix + "_INPUTS", std::to_string(entry.inputs.size()), "");
  define(prefix + "_OUTPUTS", std::to_string(entry.outputs.size()), "");
  for (const ValueDecl &input : entry.inputs)
    define(prefix + "_IN_" + upper(identifier(input.name)), literal(input.name),
           shapeComment(input));
  for (const OutputDecl &output : entry.outputs)
    define(prefix + "_OUT_" + upper(identifier(output.name)),
           literal(output.name), shapeComment(output));
  text += "\n";
}

static bool usesDim(const Expr &expr, const std::string &dim) {
  if (expr.kind == Expr::Kind::Dim)
    return expr.name == dim;
  return std::any_of(expr.args.begin(), expr.args.end(),
                     [&](const Expr &arg) { return usesDim(arg, dim); });
}

/// Does the shape of an input or output depend on the dim?
static bool usesDim(const Entry &entry, const std::string &dim) {
  auto inShape = [&](const ValueDecl &tensor) {
    return std::any_of(tensor.shape.begin(), tensor.shape.end(),
                       [&](const Expr &size) { return usesDim(size, dim); });
  };
  return std::any_of(entry.inputs.begin(), entry.inputs.end(), inShape) ||
         std::any_of(entry.outputs.begin(), entry.outputs.end(), inShape);
}

void HeaderWriter::writeFunction(const Entry &entry) {
  Identifiers locals;
  dimIds.clear();
  std::string parameters = "lathe_model *model", setUp, arrays, inputs, outputs,
              logitsRows = "0";
  for (const std::string &dim : entry.dims) {
    dimIds.push_back(locals.add("dim_", dim));
    if (!usesDim(entry, dim))
      continue;
    if (dim == entry.roles.logits)
      logitsRows = dimIds.back();
    if (entry.kv.empty() || dim != entry.roles.past)
      parameters += ", int64_t " + dimIds.back();
    else
      setUp += "  const int64_t " + dimIds.back() +
               " = lathe_cache_length(cache);\n";
  }
  if (!entry.kv.empty())
    parameters += ", lathe_cache *cache";
  for (size_t i = 0; i < entry.inputs.size(); ++i) {
    const ValueDecl &input = entry.inputs[i];
    std::string name = locals.add("in_", input.name), shape;
    for (const Expr &dim : input.shape)
      shape += (shape.empty() ? "" : ", ") + expression(entry, dim);
    std::string array = "shape_" + std::to_string(i);
    parameters += std::string(",\n    const ") + cType(input.dtype) + " *" +
                  name + " /* " + shapeComment(input) + " */";
    // C has no arrays of length 0.
    arrays += "  const int64_t " + array + "[] = {" +
              (shape.empty() ? "0" : shape) + "};\n";
    // A null pointer leaves the input out.
    inputs += "  if (" + name +
              ")\n    inputs[input_count++] = "
              "lathe_model_input(" +
              literal(input.name) + ", " + name + ", " +
              dtypeConstant(input.dtype) + ", " +
              std::to_string(input.shape.size()) + ", " + array + ");\n";
  }
  for (const OutputDecl &output : entry.outputs) {
    std::string name = locals.add("out_", output.name), bytes;
    parameters += std::string(",\n    ") + cType(output.dtype) + " *" + name +
                  " /* " + shapeComment(output) + " */";
    bytes = std::to_string(dtypeBytes(output.dtype));
    for (const Expr &dim : output.shape)
      bytes += " * " + expression(entry, dim);
    outputs += "  if (" + name +
               ")\n    outputs[output_count++] = "
               "lathe_model_output(" +
               literal(output.name) + ", " + name + ", " + bytes + ");\n";
  }
  text +=
      "/* Runs the entry; 0, or not 0 on error (lathe_last_error). A null\n"
      " * input takes its default, a null output is not wanted. All memory\n"
      " * is the caller's. */\n";
  text += "static inline int " + functions.add("model_", entry.name) + "(" +
          parameters + ") {\n" + setUp + arrays;
  text += "  lathe_tensor inputs[" + std::to_string(entry.inputs.size() + 1) +
          "], outputs[" + std::to_string(entry.outputs.size() + 1) +
          "];\n  size_t input_count = 0, output_count = 0;\n";
  text += "  lathe_run_options options = {sizeof(lathe_run_options), " +
          entryMacro + ", " + (entry.kv.empty() ? "NULL" : "cache") + ", " +
          logitsRows + "};\n";
  text += inputs + outputs;
  text += "  return lathe_model_run(model, &options, inputs, input_count, "
          "outputs,\n                         output_count);\n}\n\n";
}

void HeaderWriter::writeEntry(const Entry &entry) {
  std::string id = identifier(entry.name);
  writeConstants(entry, id);
  // Nobody would call a function of more arguments, and the capacity of the
  // cache is not known to callers.
  if (entry.inputs.size() + entry.outputs.size() <= mostArguments &&
      (entry.kv.empty() || !usesDim(entry, entry.roles.capacity)))
    writeFunction(entry);
}

/// Says which sub-layers of the source model are gone.
std::string HeaderWriter::removedComment() const {
  if (manifest.removed.empty())
    return "";
  std::string sites;
  for (const std::string &site : manifest.removed)
    sites += "\n *   " + comment(site);
  return "\n * Sub-layers that were removed:" + sites + "\n";
}

std::string HeaderWriter::run() {
  std::string guard =
      "LATHE_MODEL_" + upper(identifier(manifest.source)) + "_H";
  text = "/* Interface of the compiled model " + comment(manifest.source) +
         ".\n * Made by Lathe " + comment(manifest.lathe) + "; do not edit." +
         removedComment() + " */\n\n#ifndef " + guard + "\n#define " + guard +
         "\n\n#include <lathe/Runtime/lathe.h>\n\n";
  writeHelpers();
  text += R"(#ifndef LATHE_MODEL_TENSORS
#define LATHE_MODEL_TENSORS
static inline lathe_tensor lathe_model_input(const char *name,
                                             const void *data, int32_t dtype,
                                             int32_t rank,
                                             const int64_t *shape) {
  /* Inputs are only read; one struct serves inputs and outputs. */
  union {
    const void *given;
    void *stored;
  } pointer;
  lathe_tensor tensor = {sizeof(lathe_tensor), name, NULL, -1,
                         dtype,                rank, shape, NULL};
  pointer.given = data;
  tensor.data = pointer.stored;
  return tensor;
}
static inline lathe_tensor lathe_model_output(const char *name, void *data,
                                              int64_t bytes) {
  lathe_tensor tensor = {sizeof(lathe_tensor), name, data, bytes,
                         0,                    0,    NULL, NULL};
  return tensor;
}
#endif /* LATHE_MODEL_TENSORS */

)";
  for (const Entry &entry : manifest.entries)
    writeEntry(entry);
  text += "#endif /* " + guard + " */\n";
  return std::move(text);
}

std::string lathe::rt::writeModelHeader(const Manifest &manifest) {
  return HeaderWriter(manifest).run();
}
