//===- ManifestJson.cpp - model.json to Manifest and back -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Manifest.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

using namespace lathe::rt;
using Json = nlohmann::ordered_json;

/// Version of the format itself, the key "manifest".
static constexpr int64_t formatVersion = 1;

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// Takes every event and keeps the message of the syntax error: the library
/// reports errors by exception only, which this code is built without.
struct SyntaxErrorListener : nlohmann::json_sax<Json> {
  std::string message;
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t &) override { return true; }
  bool string(string_t &) override { return true; }
  bool binary(binary_t &) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t &) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string &,
                   const nlohmann::detail::exception &error) override {
    message = error.what();
    // "[json.exception.parse_error.101] parse error at …"
    if (size_t end = message.find("] "); end != std::string::npos)
      message.erase(0, end + 2);
    return false;
  }
};

/// Walks the JSON; the first thing wrong is kept with its path.
class Reader {
public:
  Status read(const Json &json, Manifest &manifest);

private:
  /// Extends the path for a scope.
  class In {
  public:
    In(Reader &reader, const std::string &step)
        : reader(reader), length(reader.path.size()) {
      reader.path += step;
    }
    ~In() { reader.path.resize(length); }

  private:
    Reader &reader;
    size_t length;
  };

  void fail(const std::string &reason) {
    if (!status.failed())
      status = Status::error(path.empty() ? reason : path + ": " + reason);
  }

  const Json *get(const Json &object, const char *key, bool optional = false);
  const Json *list(const Json &object, const char *key, bool optional = false);
  std::string text(const Json &object, const char *key, bool optional = false);
  int64_t integer(const Json &object, const char *key, int64_t least,
                  int64_t most);
  uint64_t hash(const Json &object, const char *key);
  DType dtype(const Json &object);
  Expr expr(const Json &json, unsigned depth = 0);
  std::vector<Expr> shape(const Json &object);
  std::vector<std::string> texts(const Json &object, const char *key,
                                 bool optional = false);
  Ref ref(const Json &json, const Entry &entry);

  /// Calls `f(element, index)` for each element of a list, with its path set.
  template <typename F>
  void forEach(const Json &object, const char *key, bool optional, F f);

  void readEntry(const Json &json, Entry &entry);
  void readRoles(const Json &json, Entry &entry);
  void readValue(const Json &json, ValueDecl &value);
  KvSlot readKv(const Json &json);
  Stage readStage(const Json &json, const Entry &entry);
  Check readCheck(const Json &json);

  using Names = std::map<std::string, uint32_t>;
  template <typename T>
  static Names namesOf(const std::vector<T> &things) {
    Names names;
    for (uint32_t i = 0; i < things.size(); ++i)
      names.emplace(things[i].name, i);
    return names;
  }

  std::string path;
  Status status;
  Names parts, inputs, outputs, values, slots;
};
} // namespace

const Json *Reader::get(const Json &object, const char *key, bool optional) {
  if (!object.is_object()) {
    fail("must be an object");
    return nullptr;
  }
  auto found = object.find(key);
  if (found != object.end())
    return &*found;
  if (!optional)
    fail(std::string("lacks \"") + key + "\"");
  return nullptr;
}

const Json *Reader::list(const Json &object, const char *key, bool optional) {
  const Json *json = get(object, key, optional);
  if (json && !json->is_array()) {
    fail(std::string("\"") + key + "\" must be a list");
    return nullptr;
  }
  return json;
}

template <typename F>
void Reader::forEach(const Json &object, const char *key, bool optional, F f) {
  const Json *json = list(object, key, optional);
  if (!json)
    return;
  size_t index = 0;
  for (const Json &element : *json) {
    if (status.failed())
      return;
    In in(*this, (path.empty() ? "" : ".") + std::string(key) + "[" +
                     std::to_string(index) + "]");
    f(element, index++);
  }
}

std::string Reader::text(const Json &object, const char *key, bool optional) {
  const Json *json = get(object, key, optional);
  if (!json)
    return "";
  if (!json->is_string()) {
    fail(std::string("\"") + key + "\" must be a string");
    return "";
  }
  return json->get<std::string>();
}

int64_t Reader::integer(const Json &object, const char *key, int64_t least,
                        int64_t most) {
  const Json *json = get(object, key);
  if (!json)
    return least;
  bool fits = json->is_number_unsigned()
                  ? json->get<uint64_t>() <= uint64_t(most)
                  : json->is_number_integer() && json->get<int64_t>() <= most;
  if (!fits || json->get<int64_t>() < least) {
    fail(std::string("\"") + key + "\" must be an integer from " +
         std::to_string(least) + " to " + std::to_string(most));
    return least;
  }
  return json->get<int64_t>();
}

uint64_t Reader::hash(const Json &object, const char *key) {
  std::string digits = text(object, key);
  uint64_t value = 0;
  bool good = digits.size() == 16;
  for (char c : digits) {
    unsigned digit = c >= '0' && c <= '9'   ? c - '0'
                     : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                            : 16;
    good &= digit < 16;
    value = value << 4 | digit;
  }
  if (!good)
    fail(std::string("\"") + key + "\" must be 16 hexadecimal digits");
  return value;
}

DType Reader::dtype(const Json &object) {
  std::string name = text(object, "dtype");
  std::optional<DType> type = parseDType(name);
  if (!type)
    fail("unknown element type '" + name + "'");
  return type.value_or(DType::F32);
}

Expr Reader::expr(const Json &json, unsigned depth) {
  if (json.is_string())
    return Expr::dim(json.get<std::string>());
  if (json.is_number_integer() &&
      !(json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX))
    return Expr(json.get<int64_t>());
  static const std::map<std::string, Expr::Kind> kinds = {
      {"+", Expr::Kind::Add},         {"*", Expr::Kind::Mul},
      {"fdiv", Expr::Kind::FloorDiv}, {"mod", Expr::Kind::Mod},
      {"min", Expr::Kind::Min},       {"max", Expr::Kind::Max}};
  if (depth < 32 && json.is_array() && json.size() >= 2 &&
      json[0].is_string()) {
    auto kind = kinds.find(json[0].get<std::string>());
    if (kind != kinds.end()) {
      std::vector<Expr> args;
      for (size_t i = 1; i < json.size(); ++i)
        args.push_back(expr(json[i], depth + 1));
      return Expr::op(kind->second, std::move(args));
    }
  }
  fail("not an expression: an integer, a dim's name, or [op, operand, ...] "
       "with op "
       "one of + * fdiv mod min max");
  return Expr();
}

std::vector<Expr> Reader::shape(const Json &object) {
  std::vector<Expr> dims;
  forEach(object, "shape", false,
          [&](const Json &json, size_t) { dims.push_back(expr(json)); });
  return dims;
}

std::vector<std::string> Reader::texts(const Json &object, const char *key,
                                       bool optional) {
  std::vector<std::string> result;
  forEach(object, key, optional, [&](const Json &json, size_t) {
    if (json.is_string())
      result.push_back(json.get<std::string>());
    else
      fail("must be a string");
  });
  return result;
}

Ref Reader::ref(const Json &json, const Entry &entry) {
  struct Space {
    const char *prefix;
    Ref::Kind kind;
    const Names &names;
  };
  const Space spaces[] = {{"in:", Ref::Kind::Input, inputs},
                          {"out:", Ref::Kind::Output, outputs},
                          {"val:", Ref::Kind::Value, values},
                          {"kv.k:", Ref::Kind::CacheKey, slots},
                          {"kv.v:", Ref::Kind::CacheValue, slots}};
  if (!json.is_string()) {
    fail("must be a string such as \"val:x\"");
    return Ref();
  }
  std::string text = json.get<std::string>();
  for (const Space &space : spaces) {
    if (text.compare(0, std::strlen(space.prefix), space.prefix) != 0)
      continue;
    auto found = space.names.find(text.substr(std::strlen(space.prefix)));
    if (found != space.names.end())
      return {space.kind, found->second};
  }
  fail("'" + text + "' is no tensor of this entry");
  return Ref();
}

void Reader::readValue(const Json &json, ValueDecl &value) {
  value.name = text(json, "name");
  value.dtype = dtype(json);
  value.shape = shape(json);
}

KvSlot Reader::readKv(const Json &json) {
  KvSlot slot;
  slot.name = text(json, "slot");
  slot.heads = integer(json, "heads", 1, 1 << 20);
  slot.headDim = integer(json, "head_dim", 1, 1 << 20);
  slot.valueDim = json.contains("value_dim")
                      ? integer(json, "value_dim", 1, 1 << 20)
                      : slot.headDim;
  slot.dtype = dtype(json);
  slot.pastKey = text(json, "past_key", true);
  slot.pastValue = text(json, "past_value", true);
  slot.presentKey = text(json, "present_key", true);
  slot.presentValue = text(json, "present_value", true);
  if (std::string layout = text(json, "key_layout", true); !layout.empty())
    slot.keyLayout = layout;
  if (std::string layout = text(json, "value_layout", true); !layout.empty())
    slot.valueLayout = layout;
  return slot;
}

Stage Reader::readStage(const Json &json, const Entry &entry) {
  Stage stage;
  stage.site = text(json, "site");
  stage.function = text(json, "function");
  forEach(json, "parts", true, [&](const Json &element, size_t) {
    auto found = element.is_string() ? parts.find(element.get<std::string>())
                                     : parts.end();
    if (found == parts.end())
      return fail("is not the name of a part");
    stage.parts.push_back(found->second);
  });
  forEach(json, "args", false, [&](const Json &element, size_t) {
    stage.args.push_back(ref(element, entry));
  });
  forEach(json, "outs", false, [&](const Json &element, size_t) {
    stage.outs.push_back(ref(element, entry));
  });
  if (json.is_object() && json.contains("residual"))
    stage.residual = integer(json, "residual", 0, INT32_MAX);
  if (const Json *macs = get(json, "macs", true))
    stage.macs = expr(*macs);
  return stage;
}

Check Reader::readCheck(const Json &json) {
  Check check;
  check.message = text(json, "message");
  std::string op = text(json, "op");
  if (op == "<=")
    check.op = Check::Op::AtMost;
  else if (op != "==")
    fail("\"op\" must be \"==\" or \"<=\"");
  if (const Json *left = get(json, "left"))
    check.left = expr(*left);
  if (const Json *right = get(json, "right"))
    check.right = expr(*right);
  return check;
}

void Reader::readRoles(const Json &json, Entry &entry) {
  const Json *roles = get(json, "roles", true);
  if (!roles)
    return;
  In in(*this, ".roles");
  entry.roles.batch = text(*roles, "batch", true);
  entry.roles.sequence = text(*roles, "sequence", true);
  entry.roles.past = text(*roles, "past", true);
  entry.roles.capacity = text(*roles, "capacity", true);
  entry.roles.logits = text(*roles, "logits", true);
}

void Reader::readEntry(const Json &json, Entry &entry) {
  entry.dims = texts(json, "dims");
  readRoles(json, entry);
  if (const Json *aliases = get(json, "aliases", true)) {
    In in(*this, ".aliases");
    if (!aliases->is_object())
      return fail("must be an object");
    for (const auto &alias : aliases->items())
      entry.aliases.emplace_back(alias.key(), expr(alias.value()));
  }
  forEach(json, "inputs", false, [&](const Json &element, size_t) {
    readValue(element, entry.inputs.emplace_back());
  });
  forEach(json, "outputs", false, [&](const Json &element, size_t) {
    readValue(element, entry.outputs.emplace_back());
  });
  forEach(json, "values", true, [&](const Json &element, size_t) {
    readValue(element, entry.values.emplace_back());
  });
  forEach(json, "kv", true, [&](const Json &element, size_t) {
    entry.kv.push_back(readKv(element));
  });
  if (const Json *appends = get(json, "appends", true))
    entry.appends = expr(*appends);
  inputs = namesOf(entry.inputs);
  outputs = namesOf(entry.outputs);
  values = namesOf(entry.values);
  slots = namesOf(entry.kv);
  forEach(json, "outputs", false, [&](const Json &element, size_t index) {
    if (const Json *source = get(element, "copy_of", true))
      entry.outputs[index].copyOf = ref(*source, entry);
  });
  forEach(json, "stages", false, [&](const Json &element, size_t) {
    entry.stages.push_back(readStage(element, entry));
  });
  forEach(json, "checks", true, [&](const Json &element, size_t) {
    entry.checks.push_back(readCheck(element));
  });
  entry.assumptions = texts(json, "assumptions", true);
}

Status Reader::read(const Json &json, Manifest &manifest) {
  int64_t version = integer(json, "manifest", 1, INT32_MAX);
  if (!status.failed() && version != formatVersion)
    fail("format version " + std::to_string(version) +
         ", this runtime reads version " + std::to_string(formatVersion));
  manifest.lathe = text(json, "lathe");
  manifest.abi = integer(json, "abi", 0, INT32_MAX);
  manifest.target = text(json, "target");
  manifest.source = text(json, "source", true);
  manifest.removed = texts(json, "removed", true);
  forEach(json, "libraries", true, [&](const Json &element, size_t) {
    manifest.libraries.push_back(
        {text(element, "file"), text(element, "level")});
  });
  if (const Json *weights = get(json, "weights", true)) {
    In in(*this, "weights");
    manifest.weights.file = text(*weights, "file");
    manifest.weights.bytes = integer(*weights, "bytes", 0, INT64_MAX);
    manifest.weights.hash = hash(*weights, "hash");
  }
  forEach(json, "parts", true, [&](const Json &element, size_t) {
    Part part;
    part.name = text(element, "name");
    part.offset = integer(element, "offset", 0, INT64_MAX);
    part.bytes = integer(element, "bytes", 0, INT64_MAX);
    std::string access = text(element, "access", true);
    part.rowsOnly = access == "rows";
    if (!access.empty() && !part.rowsOnly)
      fail("\"access\" must be \"rows\" or absent");
    manifest.parts.push_back(part);
  });
  parts = namesOf(manifest.parts);
  const Json *entries = get(json, "entries");
  if (entries && !entries->is_object())
    fail("\"entries\" must be an object");
  if (status.failed())
    return std::move(status);
  for (const auto &item : entries->items()) {
    In in(*this, "entries." + item.key());
    Entry &entry = manifest.entries.emplace_back();
    entry.name = item.key();
    readEntry(item.value(), entry);
  }
  return std::move(status);
}

/// The deepest nesting of lists and objects. The JSON library copies nested
/// values by recursion, so hostile text is refused before it gets there.
static unsigned nestingOf(const std::string &text) {
  unsigned depth = 0, deepest = 0;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (inString && c == '\\')
      ++i;
    else if (c == '"')
      inString = !inString;
    else if (!inString && (c == '[' || c == '{'))
      deepest = std::max(deepest, ++depth);
    else if (!inString && (c == ']' || c == '}') && depth > 0)
      --depth;
  }
  return deepest;
}

Result<Manifest> lathe::rt::parseManifest(const std::string &text,
                                          const std::string &where) {
  // Expressions of 32 levels, eight levels down.
  if (nestingOf(text) > 64)
    return Status::error(where + ": lists and objects are nested too deeply");
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    SyntaxErrorListener listener;
    Json::sax_parse(text, &listener);
    return Status::error(where + ": " + listener.message);
  }
  Manifest manifest;
  if (Status status = Reader().read(json, manifest); status.failed())
    return std::move(status).prefixed(where + ": ");
  if (Status status = verifyManifest(manifest); status.failed())
    return std::move(status).prefixed(where + ": ");
  return manifest;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static Json toJson(const Expr &expr) {
  const char *op = "+";
  switch (expr.kind) {
  case Expr::Kind::Constant:
    return expr.value;
  case Expr::Kind::Dim:
    return expr.name;
  case Expr::Kind::Add:
    break;
  case Expr::Kind::Mul:
    op = "*";
    break;
  case Expr::Kind::FloorDiv:
    op = "fdiv";
    break;
  case Expr::Kind::Mod:
    op = "mod";
    break;
  case Expr::Kind::Min:
    op = "min";
    break;
  case Expr::Kind::Max:
    op = "max";
    break;
  }
  Json json = Json::array({op});
  for (const Expr &arg : expr.args)
    json.push_back(toJson(arg));
  return json;
}

static Json toJson(const ValueDecl &value) {
  Json shape = Json::array();
  for (const Expr &dim : value.shape)
    shape.push_back(toJson(dim));
  Json json = Json::object();
  json["name"] = value.name;
  json["dtype"] = dtypeName(value.dtype);
  json["shape"] = std::move(shape);
  return json;
}

static std::string refText(const Entry &entry, Ref ref) {
  switch (ref.kind) {
  case Ref::Kind::Input:
    return "in:" + entry.inputs[ref.index].name;
  case Ref::Kind::Output:
    return "out:" + entry.outputs[ref.index].name;
  case Ref::Kind::Value:
    return "val:" + entry.values[ref.index].name;
  case Ref::Kind::CacheKey:
    return "kv.k:" + entry.kv[ref.index].name;
  case Ref::Kind::CacheValue:
    return "kv.v:" + entry.kv[ref.index].name;
  }
  return "";
}

static void putUnlessEmpty(Json &json, const char *key,
                           const std::string &text) {
  if (!text.empty())
    json[key] = text;
}

static Json toJson(const KvSlot &slot) {
  Json json = Json::object();
  json["slot"] = slot.name;
  json["heads"] = slot.heads;
  json["head_dim"] = slot.headDim;
  json["value_dim"] = slot.valueDim;
  json["dtype"] = dtypeName(slot.dtype);
  putUnlessEmpty(json, "past_key", slot.pastKey);
  putUnlessEmpty(json, "past_value", slot.pastValue);
  putUnlessEmpty(json, "present_key", slot.presentKey);
  putUnlessEmpty(json, "present_value", slot.presentValue);
  if (slot.keyLayout != "bhsd")
    json["key_layout"] = slot.keyLayout;
  if (slot.valueLayout != "bhsd")
    json["value_layout"] = slot.valueLayout;
  return json;
}

static Json toJson(const Manifest &manifest, const Entry &entry,
                   const Stage &stage) {
  Json json = Json::object();
  json["site"] = stage.site;
  json["function"] = stage.function;
  Json parts = Json::array(), args = Json::array(), outs = Json::array();
  for (uint32_t part : stage.parts)
    parts.push_back(manifest.parts[part].name);
  for (Ref ref : stage.args)
    args.push_back(refText(entry, ref));
  for (Ref ref : stage.outs)
    outs.push_back(refText(entry, ref));
  json["parts"] = std::move(parts);
  json["args"] = std::move(args);
  json["outs"] = std::move(outs);
  if (stage.residual)
    json["residual"] = *stage.residual;
  if (stage.macs)
    json["macs"] = toJson(*stage.macs);
  return json;
}

static Json toJson(const Check &check) {
  Json json = Json::object();
  json["left"] = toJson(check.left);
  json["op"] = check.op == Check::Op::Equal ? "==" : "<=";
  json["right"] = toJson(check.right);
  json["message"] = check.message;
  return json;
}

static Json toJson(const Manifest &manifest, const Entry &entry) {
  Json json = Json::object();
  json["dims"] = entry.dims;
  Json roles = Json::object();
  putUnlessEmpty(roles, "batch", entry.roles.batch);
  putUnlessEmpty(roles, "sequence", entry.roles.sequence);
  putUnlessEmpty(roles, "past", entry.roles.past);
  putUnlessEmpty(roles, "capacity", entry.roles.capacity);
  putUnlessEmpty(roles, "logits", entry.roles.logits);
  json["roles"] = std::move(roles);
  Json aliases = Json::object();
  for (const auto &[name, expr] : entry.aliases)
    aliases[name] = toJson(expr);
  json["aliases"] = std::move(aliases);
  Json inputs = Json::array(), outputs = Json::array(), values = Json::array();
  for (const ValueDecl &input : entry.inputs)
    inputs.push_back(toJson(input));
  for (const OutputDecl &output : entry.outputs) {
    Json decl = toJson(static_cast<const ValueDecl &>(output));
    if (output.copyOf)
      decl["copy_of"] = refText(entry, *output.copyOf);
    outputs.push_back(std::move(decl));
  }
  for (const ValueDecl &value : entry.values)
    values.push_back(toJson(value));
  json["inputs"] = std::move(inputs);
  json["outputs"] = std::move(outputs);
  json["values"] = std::move(values);
  Json kv = Json::array(), stages = Json::array(), checks = Json::array();
  for (const KvSlot &slot : entry.kv)
    kv.push_back(toJson(slot));
  for (const Stage &stage : entry.stages)
    stages.push_back(toJson(manifest, entry, stage));
  for (const Check &check : entry.checks)
    checks.push_back(toJson(check));
  json["kv"] = std::move(kv);
  json["appends"] = toJson(entry.appends);
  json["stages"] = std::move(stages);
  json["checks"] = std::move(checks);
  json["assumptions"] = entry.assumptions;
  return json;
}

static std::string hexText(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, value);
  return text;
}

/// Appends `json` with a line for each element of lists and objects that hold
/// others, down to `depth` levels: a stage table reads as a table.
static void print(const Json &json, unsigned depth, unsigned indent,
                  std::string &text) {
  bool nested = std::any_of(json.begin(), json.end(), [](const Json &element) {
    return element.is_structured();
  });
  if (depth == 0 || !nested) {
    text += json.dump(-1, ' ', false, Json::error_handler_t::replace);
    return;
  }
  text += json.is_object() ? '{' : '[';
  bool first = true;
  for (const auto &item : json.items()) {
    text += first ? "\n" : ",\n";
    first = false;
    text.append(indent + 1, ' ');
    if (json.is_object())
      text += Json(item.key())
                  .dump(-1, ' ', false, Json::error_handler_t::replace) +
              ": ";
    print(item.value(), depth - 1, indent + 1, text);
  }
  text += "\n" + std::string(indent, ' ') + (json.is_object() ? '}' : ']');
}

std::string lathe::rt::manifestToJson(const Manifest &manifest) {
  Json json = Json::object();
  json["manifest"] = formatVersion;
  json["lathe"] = manifest.lathe;
  json["abi"] = manifest.abi;
  json["target"] = manifest.target;
  json["source"] = manifest.source;
  if (!manifest.removed.empty())
    json["removed"] = manifest.removed;
  Json libraries = Json::array(), parts = Json::array();
  for (const Library &library : manifest.libraries)
    libraries.push_back({{"file", library.file}, {"level", library.level}});
  json["libraries"] = std::move(libraries);
  if (!manifest.weights.file.empty())
    json["weights"] = {{"file", manifest.weights.file},
                       {"bytes", manifest.weights.bytes},
                       {"hash", hexText(manifest.weights.hash)}};
  for (const Part &part : manifest.parts) {
    Json decl = {
        {"name", part.name}, {"offset", part.offset}, {"bytes", part.bytes}};
    if (part.rowsOnly)
      decl["access"] = "rows";
    parts.push_back(std::move(decl));
  }
  json["parts"] = std::move(parts);
  Json entries = Json::object();
  for (const Entry &entry : manifest.entries)
    entries[entry.name] = toJson(manifest, entry);
  json["entries"] = std::move(entries);
  std::string text;
  print(json, 4, 0, text);
  return text + "\n";
}
