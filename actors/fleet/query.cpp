// The table of calls (see query.hpp).
#include "actors/fleet/query.hpp"

#include <algorithm>
#include <array>

#include "actors/fleet/calls.hpp"

namespace drover::fleet {
namespace {

constexpr std::array calls{
    Call{"episodes.list", episodes_list},
    Call{"episodes.show", episodes_show},
    Call{"events.list", events_list},
    Call{"knowledge.show", knowledge_show},
    Call{"packs.list", packs_list},
    Call{"packs.negative_for_skill", packs_negative_for_skill},
    Call{"packs.novelty", packs_novelty},
    Call{"packs.positive_for_skill", packs_positive_for_skill},
    Call{"packs.query", packs_query},
    Call{"packs.show", packs_show},
    Call{"packs.skill_failures", packs_skill_failures},
    Call{"packs.skill_levels", packs_skill_levels},
    Call{"packs.skill_matrix", packs_skill_matrix},
    Call{"packs.skill_pairs", packs_skill_pairs},
    Call{"packs.skill_recommend", packs_skill_recommend},
    Call{"packs.skill_sequences", packs_skill_sequences},
    Call{"packs.skill_training", packs_skill_training},
    Call{"packs.skills", packs_skills},
    Call{"packs.stats", packs_stats},
    Call{"packs.tasks", packs_tasks},
    Call{"rejected.list", rejected_list},
    Call{"store.facts", store_facts},
};

}  // namespace

std::vector<std::string> query_calls() {
  std::vector<std::string> names;
  for (const Call& call : calls) names.emplace_back(call.name);
  return names;
}

Result<std::string> answer_query(const sync::CentralStore& store, std::string_view request, const QueryBounds& bounds) {
  DROVER_ASSIGN(auto fields, RequestFields::parse(request));
  std::string name;
  fields.required("call", name);
  const auto at = std::find_if(calls.begin(), calls.end(), [&](const Call& call) { return name == call.name; });
  if (at != calls.end()) return at->run({store, fields, bounds});
  std::string known;
  for (const Call& call : calls) known.append(known.empty() ? "" : ", ").append(call.name);
  return fail(Errc::invalid_argument, "call",
              std::string(1, '\'').append(name.substr(0, 80)).append("' is not one of ").append(known));
}

Result<std::string> run_query(const sync::CentralStore& store, std::string_view request) {
  return answer_query(store, request, QueryBounds{});
}

}  // namespace drover::fleet
