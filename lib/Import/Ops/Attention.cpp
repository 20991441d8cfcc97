//===- Attention.cpp - Attention, rotary embedding and recurrences --------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"

using namespace lathe;
using shape::firstLikeFirst;
using shape::setRank;

static void attentionShape(const NodeInfo &node, shape::Results results) {
  const ValueType *query = node.getInput(0);
  if (query && query->hasRank())
    setRank(results[0], query->getRank());
  for (ValueType &cache : results.drop_front())
    setRank(cache, 4);
}

static std::string checkAttention(const NodeInfo &node) {
  const ValueType *query = node.getInput(0);
  std::optional<int64_t> heads = node.getInt("q_num_heads");
  std::optional<int64_t> kvHeads = node.getInt("kv_num_heads");
  if (heads && *heads < 1)
    return "q_num_heads is not positive";
  if (kvHeads && *kvHeads < 1)
    return "kv_num_heads is not positive";
  if (heads && kvHeads && *heads % *kvHeads != 0)
    return "q_num_heads " + std::to_string(*heads) +
           " is no multiple of kv_num_heads " + std::to_string(*kvHeads);
  if (!query || !query->hasRank())
    return "";
  if (query->getRank() != 3 && query->getRank() != 4)
    return "Q has rank " + std::to_string(query->getRank()) + ", not 3 or 4";
  if (query->getRank() == 3 && (!heads || !kvHeads))
    return "Q of rank 3 needs q_num_heads and kv_num_heads";
  return "";
}

static void linearAttentionShape(const NodeInfo &, shape::Results results) {
  setRank(results[0], 3);
  if (results.size() > 1)
    setRank(results[1], 4);
}

static constexpr OpRow kRows[] = {
    {"Attention", 23,
     "Q:T1{float}, K:T1, V:T2{float}, attn_mask?:U{any}, past_key?:T1, "
     "past_value?:T2",
     "Y:T1, present_key?:T1, present_value?:T2, qk_matmul_output?:T1",
     "is_causal:int=0, kv_num_heads:int, q_num_heads:int, "
     "qk_matmul_output_mode:int=0, scale:float, softcap:float=0.0, "
     "softmax_precision:int",
     attentionShape, checkAttention},
    {"Attention", 24,
     "Q:T1{float}, K:T1, V:T2{float}, attn_mask?:U{any}, past_key?:T1, "
     "past_value?:T2, nonpad_kv_seqlen?:i64",
     "Y:T1, present_key?:T1, present_value?:T2, qk_matmul_output?:T1",
     "is_causal:int=0, kv_num_heads:int, q_num_heads:int, "
     "qk_matmul_output_mode:int=0, scale:float, softcap:float=0.0, "
     "softmax_precision:int",
     attentionShape, checkAttention},
    {"Attention", 25,
     "Q:T1{float}, K:T1, V:T2{float}, attn_mask?:U{any}, past_key?:T1, "
     "past_value?:T2, nonpad_kv_seqlen?:i64",
     "Y:T1, present_key?:T1, present_value?:T2, qk_matmul_output?:T1",
     "is_causal:int=0, kv_num_heads:int, left_window_size:int=-1, "
     "q_num_heads:int, qk_matmul_output_mode:int=0, right_window_size:int=-1, "
     "scale:float, softcap:float=0.0, softmax_precision:int",
     attentionShape, checkAttention},
    {"CausalConvWithState", 27,
     "input:T{float}, weight:T, bias?:T, past_state?:T",
     "output:T, present_state:T", "activation:string=none", shape::rankOfFirst},
    {"LinearAttention", 27,
     "query:T{float}, key:T, value:T, past_state?:S{float}, decay?:T, beta?:T",
     "output:T, present_state:S|T",
     "chunk_size:int=64, kv_num_heads:int!, q_num_heads:int!, scale:float=0.0, "
     "update_rule:string=gated_delta",
     linearAttentionShape},
    {"RotaryEmbedding", 23,
     "X:T{float}, cos_cache:T, sin_cache:T, position_ids?:i64", "Y:T",
     "interleaved:int=0, num_heads:int, rotary_embedding_dim:int=0",
     firstLikeFirst},
};

llvm::ArrayRef<OpRow> lathe::attentionOps() { return kRows; }
