//===- Sites.cpp - names of places in a model -----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Sites.h"
#include "CarrierMatch.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace lathe;

namespace {

/// Hands out names under one prefix, each once.
class Namer {
public:
  Namer(MLIRContext *context, StringRef prefix)
      : context(context), prefix(prefix) {}

  SiteAttr operator()(StringRef role) {
    unsigned count = ++used[role];
    std::string name = prefix.empty() ? role.str() : prefix + "." + role.str();
    if (count > 1)
      name += std::to_string(count);
    return SiteAttr::get(context, name);
  }

private:
  MLIRContext *context;
  std::string prefix;
  llvm::StringMap<unsigned> used;
};

/// What an operand of attention is reached through.
enum Stream : unsigned { Query = 1, Key = 2, ValueRows = 4 };

/// Which operand of an attention each linear and norm of a body feeds.
struct AttentionRoles {
  DenseMap<Operation *, unsigned> feeds;
  /// Operations that depend on an attention.
  DenseSet<Operation *> after;
};

} // namespace

/// Marks linears and norms that `value` is computed from with `stream`, up to
/// the nearest linear.
static void markFeeders(Value value, unsigned stream, AttentionRoles &roles) {
  SmallVector<Value> pending{value};
  DenseSet<Operation *> seen;
  while (!pending.empty()) {
    Operation *op = pending.pop_back_val().getDefiningOp();
    if (!op || !seen.insert(op).second)
      continue;
    if (isa<LinearOp, NormOp>(op))
      roles.feeds[op] |= stream;
    if (auto rope = dyn_cast<RopeOp>(op)) {
      pending.push_back(rope.getX());
      continue;
    }
    if (!isa<LinearOp, AttentionOp>(op))
      llvm::append_range(pending, op->getOperands());
  }
}

static AttentionRoles findRoles(Block &body) {
  AttentionRoles roles;
  for (Operation &op : body) {
    if (auto attention = dyn_cast<AttentionOp>(op)) {
      markFeeders(attention.getQ(), Query, roles);
      if (attention.getK()) {
        markFeeders(attention.getK(), Key, roles);
        markFeeders(attention.getV(), ValueRows, roles);
      }
      roles.after.insert(&op);
    } else if (auto append = dyn_cast<KvAppendOp>(op)) {
      markFeeders(append.getK(), Key, roles);
      markFeeders(append.getV(), ValueRows, roles);
    } else if (llvm::any_of(op.getOperands(), [&](Value operand) {
                 Operation *maker = operand.getDefiningOp();
                 return maker && roles.after.contains(maker);
               })) {
      roles.after.insert(&op);
    }
  }
  return roles;
}

static StringRef getRole(unsigned feeds) {
  switch (feeds) {
  case Query:
    return "q";
  case Key:
    return "k";
  case ValueRows:
    return "v";
  case Query | Key:
    return "qk";
  case Key | ValueRows:
    return "kv";
  case Query | ValueRows:
    return "qv";
  case Query | Key | ValueRows:
    return "qkv";
  default:
    return "proj";
  }
}

static void nameAttention(Block &body, Namer &namer) {
  AttentionRoles roles = findRoles(body);
  for (Operation &op : body) {
    if (auto linear = dyn_cast<LinearOp>(op)) {
      StringRef role =
          roles.after.contains(&op) ? "o" : getRole(roles.feeds.lookup(&op));
      linear.setSiteAttr(namer(role));
    } else if (auto norm = dyn_cast<NormOp>(op)) {
      unsigned feeds = roles.feeds.lookup(&op);
      bool isOwn = feeds == Query || feeds == Key || feeds == ValueRows;
      norm.setSiteAttr(
          namer(isOwn ? (getRole(feeds) + "_norm").str() : "norm"));
    } else if (auto rope = dyn_cast<RopeOp>(op)) {
      rope.setSiteAttr(namer("rope"));
    } else if (auto append = dyn_cast<KvAppendOp>(op)) {
      append.setSiteAttr(namer("kv"));
    } else if (auto attention = dyn_cast<AttentionOp>(op)) {
      attention.setSiteAttr(namer("attention"));
    }
  }
}

/// True if a product of two computed values depends on `linear` before any
/// other linear.
static bool isGated(LinearOp linear) {
  SmallVector<Value> pending{linear.getResult()};
  DenseSet<Operation *> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    for (Operation *user : value.getUsers()) {
      if (isa<LinearOp>(user) || !seen.insert(user).second)
        continue;
      if (auto carrier = dyn_cast<OnnxOp>(user))
        if (carrier.is("Mul") && !isConstant(getOther(carrier, value)))
          return true;
      llvm::append_range(pending, user->getResults());
    }
  }
  return false;
}

/// True if an activation comes between `linear` and the product.
static bool isActivated(LinearOp linear) {
  SmallVector<Value> pending{linear.getResult()};
  DenseSet<Operation *> seen;
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    for (Operation *user : value.getUsers()) {
      if (isa<ActivationOp>(user))
        return true;
      auto carrier = dyn_cast<OnnxOp>(user);
      bool isProduct = carrier && carrier.is("Mul");
      if (isa<LinearOp>(user) || isProduct || !seen.insert(user).second)
        continue;
      llvm::append_range(pending, user->getResults());
    }
  }
  return false;
}

static void nameFfn(Block &body, Namer &namer) {
  // Linears that read what no other linear made are the way in.
  DenseSet<Operation *> afterLinear;
  SmallVector<LinearOp> in, out;
  for (Operation &op : body) {
    bool isAfter = llvm::any_of(op.getOperands(), [&](Value operand) {
      Operation *maker = operand.getDefiningOp();
      return maker && (isa<LinearOp>(maker) || afterLinear.contains(maker));
    });
    if (isAfter)
      afterLinear.insert(&op);
    if (auto linear = dyn_cast<LinearOp>(op))
      (isAfter ? out : in).push_back(linear);
    else if (auto norm = dyn_cast<NormOp>(op))
      norm.setSiteAttr(namer("norm"));
  }
  bool gated = llvm::any_of(in, isGated) && !out.empty();
  if (!gated) {
    unsigned number = 0;
    for (LinearOp linear : llvm::concat<LinearOp>(in, out))
      linear.setSiteAttr(namer("fc" + std::to_string(++number)));
    return;
  }
  for (LinearOp linear : in) {
    StringRef role = in.size() == 1        ? "gate_up"
                     : isActivated(linear) ? "gate"
                                           : "up";
    linear.setSiteAttr(namer(role));
  }
  for (LinearOp linear : out)
    linear.setSiteAttr(namer("down"));
}

void lathe::nameSublayers(ArrayRef<SublayerOp> sublayers, int64_t index) {
  if (sublayers.empty())
    return;
  SublayerOp first = sublayers.front();
  MLIRContext *context = first.getContext();
  Namer blockNamer(context, "blocks." + std::to_string(index));
  for (SublayerOp sublayer : sublayers) {
    bool isAttn = sublayer.getKind() == SublayerKind::Attn;
    SiteAttr site = blockNamer(isAttn ? "attn" : "ffn");
    sublayer.setSiteAttr(site);
    Namer namer(context, site.getPath());
    Block &body = sublayer.getBody().front();
    if (isAttn)
      nameAttention(body, namer);
    else
      nameFfn(body, namer);
    if (!sublayer.getPost().empty())
      for (auto norm : sublayer.getPost().front().getOps<NormOp>())
        norm.setSiteAttr(namer("post_norm"));
  }
}

void lathe::nameRest(Block &block) {
  Namer namer(block.getParentOp()->getContext(), "");
  bool sawBlock = false;
  for (Operation &op : block) {
    sawBlock |= isa<BlockOp>(op);
    if (auto embedding = dyn_cast<EmbeddingOp>(op))
      embedding.setSiteAttr(namer("embed"));
    else if (auto linear = dyn_cast<LinearOp>(op))
      linear.setSiteAttr(namer(sawBlock ? "head" : "stem"));
    else if (auto norm = dyn_cast<NormOp>(op))
      norm.setSiteAttr(namer(sawBlock ? "norm" : "embed_norm"));
    else if (auto attention = dyn_cast<AttentionOp>(op))
      attention.setSiteAttr(namer("attention"));
  }
}

void lathe::renameWeights(ModuleOp module) {
  MLIRContext *context = module.getContext();
  // Names by first use. A weight that no site uses keeps its own.
  llvm::StringMap<std::string> names;
  llvm::StringSet<> taken;
  auto propose = [&](Value weight, SiteAttr site, StringRef part) {
    auto use = weight ? weight.getDefiningOp<UseWeightOp>() : UseWeightOp();
    if (!use || !site || names.contains(use.getWeight()))
      return;
    std::string name = (site.getPath() + part).str();
    std::string unique = name;
    for (unsigned n = 2; !taken.insert(unique).second; ++n)
      unique = name + "_" + std::to_string(n);
    names[use.getWeight()] = unique;
  };
  module.walk([&](Operation *op) {
    if (auto linear = dyn_cast<LinearOp>(op)) {
      propose(linear.getWeight(), linear.getSiteAttr(), "");
      propose(linear.getBias(), linear.getSiteAttr(), ".bias");
    } else if (auto norm = dyn_cast<NormOp>(op)) {
      propose(norm.getGamma(), norm.getSiteAttr(), ".gamma");
      propose(norm.getBeta(), norm.getSiteAttr(), ".beta");
    } else if (auto embedding = dyn_cast<EmbeddingOp>(op)) {
      propose(embedding.getTable(), embedding.getSiteAttr(), "");
    }
  });
  for (auto weight : module.getOps<WeightOp>())
    if (!names.contains(weight.getSymName())) {
      std::string unique = weight.getSymName().str();
      for (unsigned n = 2; !taken.insert(unique).second; ++n)
        unique = weight.getSymName().str() + "_" + std::to_string(n);
      names[weight.getSymName()] = unique;
    }
  module.walk([&](Operation *op) {
    if (auto weight = dyn_cast<WeightOp>(op))
      weight.setSymName(names[weight.getSymName()]);
    else if (auto use = dyn_cast<UseWeightOp>(op))
      use.setWeightAttr(
          FlatSymbolRefAttr::get(context, names[use.getWeight()]));
  });
}
