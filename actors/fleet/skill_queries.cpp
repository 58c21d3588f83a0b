// Questions about skills: the skill adapter (actors/datapack/skill_adapter.hpp) over the newest packs of a task.
#include "actors/datapack/skill_adapter.hpp"
#include "actors/fleet/calls.hpp"

namespace drover::fleet {
namespace {

using datapack::SkillSample;
using storage::PackQuery;
using storage::ReadTxn;

// What every call takes, and what it found.
struct SkillAsk {
  PackQuery query;
  uint32_t top_k = 10;
  uint64_t packs_total = 0;  // of the task
  std::vector<SkillSample> samples;
};

enum class SkillField : uint8_t { none, optional, required };

void read_ask(RequestFields& f, SkillAsk& ask, SkillField skill) {
  ask.query.sort_by = storage::SortBy::time;
  ask.query.limit = 10'000;
  f.required("task_name", ask.query.task_name);
  f.bounded("limit", ask.query.limit, {1, rows_max});
  if (skill == SkillField::none) return;
  f.integer("skill_id", ask.query.skill_id);
  if (skill == SkillField::required && !ask.query.skill_id) f.wrong("skill_id", "is needed");
}

Status load(const CallContext& call, const ReadTxn& txn, SkillAsk& ask) {
  DROVER_ASSIGN(const auto statistics, call.store.packs().statistics(txn, ask.query.task_name));
  ask.packs_total = statistics.total;
  if (statistics.total == 0)
    return fail(Errc::not_found, "task_name",
                "there is no datapack of task '" + ask.query.task_name.substr(0, 200) + "'");
  DROVER_ASSIGN(const auto answer, call.store.packs().query(txn, ask.query));
  for (const auto& hit : answer.hits) {
    DROVER_ASSIGN(const auto pack, decode_datapack(hit.flat));
    ask.samples.push_back(datapack::skill_sample(pack));
  }
  return {};
}

// Reads the samples, then writes the list `name` of `rows(samples)`.
template <class Rows>
Result<std::string> answer(const CallContext& call, SkillAsk& ask, const char* name, Rows&& rows) {
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_TRY(load(call, txn, ask));
    Reply reply(call.bounds.reply_bytes_max);
    reply.field("task_name", ask.query.task_name);
    reply.field("packs_total", ask.packs_total);
    reply.field("packs_examined", ask.samples.size());
    reply.begin_list(name);
    for (const Row& row : rows(ask.samples))
      if (!reply.item(row)) break;
    reply.end_list();
    return reply.finish();
  });
}

Row plan_row(const std::string& json) {
  if (json.empty()) return nullptr;
  auto plan = Row::parse(json, nullptr, false);
  return plan.is_discarded() ? Row(nullptr) : plan;
}

}  // namespace

Result<std::string> packs_skills(const CallContext& call) {
  SkillAsk ask;
  read_ask(call.fields, ask, SkillField::none);
  return answer(call, ask, "skills", [](const auto& samples) {
    std::vector<Row> rows;
    for (const auto& [skill_id, s] : datapack::skill_statistics(samples))
      rows.push_back({{"skill_id", skill_id},
                      {"packs", s.packs},
                      {"uses", s.uses},
                      {"success_rate", s.success_rate},
                      {"failure_rate", s.failure_rate},
                      {"recovered", s.recovered},
                      {"delta_j_mean", s.delta_j_mean},
                      {"delta_j_std", s.delta_j_std},
                      {"trust_mean", s.trust_mean},
                      {"w_econ_mean", s.w_econ_mean},
                      {"duration_s_mean", s.duration_s_mean}});
    return rows;
  });
}

Result<std::string> packs_skill_failures(const CallContext& call) {
  SkillAsk ask;
  read_ask(call.fields, ask, SkillField::required);
  call.fields.bounded("top_k", ask.top_k, {1, rows_max});
  return answer(call, ask, "modes", [&](const auto& samples) {
    std::vector<Row> rows;
    for (const auto& m : datapack::failure_modes(samples, *ask.query.skill_id, ask.top_k))
      rows.push_back({{"failed_skills", m.failed_skills},
                      {"events", m.events},
                      {"packs", m.packs},
                      {"delta_j_mean", m.delta_j_mean},
                      {"delta_j_worst", m.delta_j_worst},
                      {"loss", m.loss},
                      {"worst_pack", m.worst_pack},
                      {"counterfactual_plan", plan_row(m.counterfactual_json)}});
    return rows;
  });
}

Result<std::string> packs_skill_sequences(const CallContext& call) {
  SkillAsk ask;
  uint32_t length_min = 2;
  uint32_t length_max = 3;
  read_ask(call.fields, ask, SkillField::none);
  call.fields.bounded("length_min", length_min, {2, 8});
  call.fields.bounded("length_max", length_max, {2, 8});
  call.fields.bounded("top_k", ask.top_k, {1, rows_max});
  return answer(call, ask, "patterns", [&](const auto& samples) {
    std::vector<Row> rows;
    for (const auto& p : datapack::sequence_patterns(samples, length_min, length_max, ask.top_k))
      rows.push_back({{"skills", p.skills},
                      {"packs", p.packs},
                      {"positive_rate", p.positive_rate},
                      {"delta_j_mean", p.delta_j_mean}});
    return rows;
  });
}

Result<std::string> packs_skill_pairs(const CallContext& call) {
  SkillAsk ask;
  std::optional<double> distance_max;
  read_ask(call.fields, ask, SkillField::optional);
  call.fields.number("distance_max", distance_max);
  if (distance_max && *distance_max < 0) call.fields.wrong("distance_max", "is negative");
  call.fields.bounded("top_k", ask.top_k, {1, rows_max});
  return answer(call, ask, "pairs", [&](const auto& samples) {
    std::vector<Row> rows;
    for (const auto& p : datapack::contrastive_pairs(samples, distance_max.value_or(0.1), ask.top_k))
      rows.push_back({{"positive", p.positive}, {"negative", p.negative}, {"distance", p.distance}, {"gap", p.gap}});
    return rows;
  });
}

Result<std::string> packs_skill_levels(const CallContext& call) {
  SkillAsk ask;
  uint32_t levels = 5;
  read_ask(call.fields, ask, SkillField::optional);
  call.fields.bounded("levels", levels, {1, 100});
  call.fields.bounded("top_k", ask.top_k, {1, rows_max});
  return answer(call, ask, "levels", [&](const auto& samples) {
    std::vector<Row> rows;
    for (auto& l : datapack::curriculum_levels(samples, levels)) {
      const size_t members = l.packs.size();
      if (members > ask.top_k) l.packs.resize(ask.top_k);
      rows.push_back({{"level", l.level},
                      {"packs_in_level", members},
                      {"difficulty_low", l.difficulty_low},
                      {"difficulty_high", l.difficulty_high},
                      {"positive_rate", l.positive_rate},
                      {"delta_j_mean", l.delta_j_mean},
                      {"first_packs", l.packs}});
    }
    return rows;
  });
}

Result<std::string> packs_skill_matrix(const CallContext& call) {
  SkillAsk ask;
  read_ask(call.fields, ask, SkillField::none);
  return answer(call, ask, "cells", [](const auto& samples) {
    std::vector<Row> rows;
    for (const auto& c : datapack::value_matrix(samples))
      rows.push_back({{"skill_id", c.skill_id},
                      {"condition", c.condition},
                      {"packs", c.packs},
                      {"success_rate", c.success_rate},
                      {"delta_j_mean", c.delta_j_mean},
                      {"value_mean", c.value_mean}});
    return rows;
  });
}

Result<std::string> packs_skill_recommend(const CallContext& call) {
  SkillAsk ask;
  std::vector<std::string> tags;
  read_ask(call.fields, ask, SkillField::none);
  call.fields.texts("tags", tags);
  call.fields.bounded("top_k", ask.top_k, {1, rows_max});
  return answer(call, ask, "skills", [&](const auto& samples) {
    std::vector<Row> rows;
    for (const auto& r : datapack::recommend_skills(samples, tags, ask.top_k))
      rows.push_back({{"skill_id", r.skill_id},
                      {"score", r.score},
                      {"success_rate", r.success_rate},
                      {"packs_matching", r.packs}});
    return rows;
  });
}

Result<std::string> packs_skill_training(const CallContext& call) {
  SkillAsk ask;
  ask.top_k = 100;
  read_ask(call.fields, ask, SkillField::required);
  call.fields.bounded("top_k", ask.top_k, {1, rows_max});
  return answer(call, ask, "uses", [&](const auto& samples) {
    std::vector<Row> rows;
    for (const auto& u : datapack::training_data(samples, *ask.query.skill_id, ask.top_k))
      rows.push_back({{"pack_id", u.pack_id},
                      {"start_s", u.start_s},
                      {"end_s", u.end_s},
                      {"outcome", u.outcome},
                      {"delta_J", u.delta_j},
                      {"weight", u.weight}});
    return rows;
  });
}

}  // namespace drover::fleet
