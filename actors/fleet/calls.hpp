// The calls of a fleet query, by name. Internal to this room.
#pragma once

#include <string>

#include "actors/fleet/query.hpp"
#include "actors/fleet/reply.hpp"
#include "actors/fleet/request.hpp"

namespace drover::fleet {

// What a call works on. It takes its fields from `fields`, then calls fields.done() before it reads the store.
struct CallContext {
  const sync::CentralStore& store;
  RequestFields& fields;
  const QueryBounds& bounds;
};
using CallFunction = Result<std::string> (*)(const CallContext&);
struct Call {
  const char* name;
  CallFunction run;
};

Result<std::string> packs_list(const CallContext& call);
Result<std::string> packs_show(const CallContext& call);
Result<std::string> packs_query(const CallContext& call);
Result<std::string> packs_stats(const CallContext& call);
Result<std::string> packs_tasks(const CallContext& call);
Result<std::string> packs_positive_for_skill(const CallContext& call);
Result<std::string> packs_negative_for_skill(const CallContext& call);
Result<std::string> packs_skills(const CallContext& call);
Result<std::string> packs_skill_failures(const CallContext& call);
Result<std::string> packs_skill_sequences(const CallContext& call);
Result<std::string> packs_skill_pairs(const CallContext& call);
Result<std::string> packs_skill_levels(const CallContext& call);
Result<std::string> packs_skill_matrix(const CallContext& call);
Result<std::string> packs_skill_recommend(const CallContext& call);
Result<std::string> packs_skill_training(const CallContext& call);
Result<std::string> packs_novelty(const CallContext& call);
Result<std::string> episodes_list(const CallContext& call);
Result<std::string> episodes_show(const CallContext& call);
Result<std::string> events_list(const CallContext& call);
Result<std::string> rejected_list(const CallContext& call);
Result<std::string> store_facts(const CallContext& call);
Result<std::string> knowledge_show(const CallContext& call);

inline constexpr uint32_t rows_max = 100'000;  // of one reply

}  // namespace drover::fleet
