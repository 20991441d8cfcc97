//===- Recipe.cpp - recipes as pass pipelines ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Recipe.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/YAMLParser.h"

using namespace lathe;
namespace yaml = llvm::yaml;

namespace {

/// Walks the YAML of one recipe; the first problem stops it.
class RecipeReader {
public:
  RecipeReader(llvm::StringRef path, llvm::StringRef text)
      : path(path.str()), stream(text, sources, /*ShowColors=*/false) {
    sources.setDiagHandler(
        [](const llvm::SMDiagnostic &diagnostic, void *self) {
          static_cast<RecipeReader *>(self)->fail(diagnostic.getLineNo(),
                                                  diagnostic.getMessage());
        },
        this);
  }

  llvm::Expected<std::string> read();

private:
  void fail(unsigned line, const llvm::Twine &reason) {
    if (problem.empty())
      problem = (path + ":" + llvm::Twine(line) + ": " + reason).str();
  }
  void fail(yaml::Node *node, const llvm::Twine &reason) {
    unsigned line =
        sources.getLineAndColumn(node->getSourceRange().Start).first;
    fail(line, reason);
  }
  std::string scalar(yaml::Node *node, const char *what);
  void readPass(yaml::Node *node);
  void readOptions(yaml::MappingNode *options);

  std::string path, problem, pipeline;
  llvm::SourceMgr sources;
  yaml::Stream stream;
};

} // namespace

/// The text of a scalar; an error when `node` is something else.
std::string RecipeReader::scalar(yaml::Node *node, const char *what) {
  auto *value = llvm::dyn_cast_or_null<yaml::ScalarNode>(node);
  if (!value) {
    if (node)
      fail(node, llvm::Twine(what) + " must be a plain value");
    return "";
  }
  llvm::SmallString<32> storage;
  return value->getValue(storage).str();
}

void RecipeReader::readOptions(yaml::MappingNode *options) {
  llvm::StringSet<> seen;
  pipeline += "{";
  for (yaml::KeyValueNode &entry : *options) {
    std::string name = scalar(entry.getKey(), "an option's name");
    if (!seen.insert(name).second)
      fail(entry.getKey(), "option '" + name + "' is given twice");
    if (pipeline.back() != '{')
      pipeline += " ";
    pipeline += name + "=" + scalar(entry.getValue(), "an option's value");
  }
  pipeline += "}";
}

void RecipeReader::readPass(yaml::Node *node) {
  if (!pipeline.empty())
    pipeline += ",";
  auto *map = llvm::dyn_cast<yaml::MappingNode>(node);
  if (!map) {
    pipeline += scalar(node, "a pass");
    return;
  }
  unsigned count = 0;
  for (yaml::KeyValueNode &entry : *map) {
    if (count++) {
      fail(entry.getKey(), "a pass is a map of its one name");
      return;
    }
    pipeline += scalar(entry.getKey(), "a pass's name");
    yaml::Node *value = entry.getValue();
    if (auto *options = llvm::dyn_cast_or_null<yaml::MappingNode>(value))
      readOptions(options);
    else if (value && !llvm::isa<yaml::NullNode>(value))
      fail(value, "the options of a pass are a map");
  }
}

llvm::Expected<std::string> RecipeReader::read() {
  auto document = stream.begin();
  yaml::Node *root = document == stream.end() ? nullptr : document->getRoot();
  auto *map = llvm::dyn_cast_or_null<yaml::MappingNode>(root);
  if (!map) {
    fail(1, "a recipe is a map with the key 'passes'");
    return llvm::createStringError(problem);
  }
  bool hasPasses = false;
  for (yaml::KeyValueNode &entry : *map) {
    std::string key = scalar(entry.getKey(), "a key");
    if (key != "passes" || hasPasses) {
      fail(entry.getKey(), hasPasses ? "the key 'passes' is given twice"
                                     : "unknown key '" + key + "'");
      break;
    }
    hasPasses = true;
    auto *list = llvm::dyn_cast_or_null<yaml::SequenceNode>(entry.getValue());
    if (!list) {
      fail(entry.getKey(), "'passes' must be a list");
      break;
    }
    for (yaml::Node &pass : *list)
      readPass(&pass);
  }
  if (!hasPasses)
    fail(1, "a recipe is a map with the key 'passes'");
  if (!problem.empty())
    return llvm::createStringError(problem);
  return pipeline;
}

llvm::Expected<std::string> lathe::readRecipe(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!file)
    return llvm::createStringError(path + ": " + file.getError().message());
  return RecipeReader(path, (*file)->getBuffer()).read();
}
