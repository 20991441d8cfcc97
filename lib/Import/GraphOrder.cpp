//===- GraphOrder.cpp - Checks who produces what --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GraphOrder.h"
#include "lathe/Import/Onnx.pb.h"

using namespace lathe;
using llvm::ArrayRef;
using llvm::Twine;

namespace {
class OrderChecker {
public:
  OrderChecker(ArrayRef<OnnxNode> nodes,
               const llvm::StringMap<std::string> &outer, Problems &problems)
      : nodes(nodes), outer(outer), problems(problems) {}

  void run();

private:
  void collectProducers();
  void checkOperands(size_t node);
  void reportDisorder();
  std::vector<unsigned>
  countPending(std::vector<llvm::SmallVector<unsigned, 2>> &users) const;
  void reportCycle(ArrayRef<unsigned> pending);

  /// A node that `node` waits for and that is itself waiting.
  size_t waitsFor(size_t node, ArrayRef<unsigned> pending) const;

  ArrayRef<OnnxNode> nodes;
  const llvm::StringMap<std::string> &outer;
  Problems &problems;
  llvm::StringMap<size_t> producers;
  /// Operands that are produced later: the reading node and the operand.
  std::vector<std::pair<size_t, int>> tooEarly;
};
} // namespace

void OrderChecker::collectProducers() {
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (const std::string &output : nodes[i].proto->output()) {
      if (output.empty())
        continue;
      auto known = outer.find(output);
      if (known != outer.end()) {
        problems.add(nodes[i].getLabel(), "output " + quoteName(output) +
                                              " is " + known->second +
                                              " as well");
        continue;
      }
      auto [it, isNew] = producers.try_emplace(output, i);
      if (!isNew)
        problems.add(nodes[i].getLabel(),
                     "output " + quoteName(output) + " is produced by " +
                         nodes[it->second].getLabel() + " as well");
    }
  }
}

void OrderChecker::checkOperands(size_t node) {
  const onnx::NodeProto &proto = *nodes[node].proto;
  for (int i = 0; i < proto.input_size(); ++i) {
    const std::string &input = proto.input(i);
    if (input.empty() || outer.contains(input))
      continue;
    auto it = producers.find(input);
    if (it == producers.end())
      problems.add(nodes[node].getLabel(), "input " + Twine(i) + " " +
                                               quoteName(input) +
                                               " is produced by nothing");
    else if (it->second >= node)
      tooEarly.push_back({node, i});
  }
}

std::vector<unsigned> OrderChecker::countPending(
    std::vector<llvm::SmallVector<unsigned, 2>> &users) const {
  std::vector<unsigned> pending(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i)
    for (const std::string &input : nodes[i].proto->input()) {
      auto it = producers.find(input);
      if (input.empty() || it == producers.end())
        continue;
      users[it->second].push_back(i);
      ++pending[i];
    }
  return pending;
}

size_t OrderChecker::waitsFor(size_t node, ArrayRef<unsigned> pending) const {
  for (const std::string &input : nodes[node].proto->input()) {
    auto it = producers.find(input);
    if (!input.empty() && it != producers.end() && pending[it->second] != 0)
      return it->second;
  }
  return node;
}

void OrderChecker::reportCycle(ArrayRef<unsigned> pending) {
  size_t node = llvm::find_if(pending, [](unsigned n) { return n != 0; }) -
                pending.begin();
  // As many steps as there are nodes end inside a cycle.
  for (size_t i = 0; i < nodes.size(); ++i)
    node = waitsFor(node, pending);
  std::string text = "the nodes form a cycle: " + nodes[node].getLabel();
  size_t at = node;
  for (unsigned shown = 0;; ++shown) {
    at = waitsFor(at, pending);
    if (shown < 4 || at == node)
      text += " <- " + nodes[at].getLabel();
    else if (shown == 4)
      text += " <- ...";
    if (at == node)
      break;
  }
  problems.add("graph", text);
}

void OrderChecker::reportDisorder() {
  std::vector<llvm::SmallVector<unsigned, 2>> users(nodes.size());
  std::vector<unsigned> pending = countPending(users);
  std::vector<unsigned> ready;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (pending[i] == 0)
      ready.push_back(i);
  size_t done = 0;
  while (!ready.empty()) {
    unsigned node = ready.back();
    ready.pop_back();
    ++done;
    for (unsigned user : users[node])
      if (--pending[user] == 0)
        ready.push_back(user);
  }
  if (done != nodes.size()) {
    reportCycle(pending);
    return;
  }
  for (auto [node, operand] : tooEarly) {
    const std::string &input = nodes[node].proto->input(operand);
    problems.add(nodes[node].getLabel(),
                 "reads " + quoteName(input) + " before " +
                     nodes[producers[input]].getLabel() + " produces it",
                 "ONNX wants nodes in topological order; sort them where the "
                 "model is written",
                 "order");
  }
}

void OrderChecker::run() {
  collectProducers();
  for (size_t i = 0; i < nodes.size(); ++i)
    checkOperands(i);
  if (!tooEarly.empty())
    reportDisorder();
}

void lathe::checkOrder(ArrayRef<OnnxNode> nodes,
                       const llvm::StringMap<std::string> &outer,
                       Problems &problems) {
  OrderChecker(nodes, outer, problems).run();
}
