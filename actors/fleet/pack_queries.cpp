// Questions about datapacks.
#include "actors/fleet/calls.hpp"
#include "storage/datapack_json.hpp"

namespace drover::fleet {
namespace {

using storage::PackQuery;
using storage::ReadTxn;

void read_filters(RequestFields& f, PackQuery& q) {
  f.text("task_name", q.task_name);
  f.choice("bucket", q.bucket, bucket_from_name, "positive, negative");
  f.integer("skill_id", q.skill_id);
  f.text("engine_type", q.engine_type);
  f.number("min_trust", q.min_trust);
  f.number("min_delta_j", q.min_delta_j);
  f.number("min_mvd_score", q.min_mvd_score);
  f.choice("source_type", q.source_type, source_type_from_name, "real, synthetic, hybrid");
  f.text("robot", q.robot);
  f.integer("from_unix_ns", q.from_unix_ns);
  f.integer("until_unix_ns", q.until_unix_ns);
  f.texts("tags", q.tags);
  f.bounded("limit", q.limit, {1, rows_max});
  f.flag("include_counterfactual", q.include_counterfactual);
  f.flag("include_sima", q.include_sima);
  std::optional<storage::SortBy> sort;
  f.choice("sort_by", sort, storage::sort_by_from_name, "delta_j, trust, mvd, time, w_econ, pack_id");
  if (sort) q.sort_by = *sort;
  f.flag("sort_descending", q.sort_descending);
}

// The hits as rows, or as whole packs to the last digit.
Status write_hits(Reply& reply, const storage::QueryAnswer& answer, bool full) {
  reply.begin_list("packs");
  for (const auto& hit : answer.hits) {
    DROVER_ASSIGN(const auto pack, decode_datapack(hit.flat));
    if (full) {
      DROVER_ASSIGN(const auto text, storage::datapack_to_json(pack));
      if (!reply.raw_item(text)) break;
    } else if (!reply.item(pack_row(pack))) {
      break;
    }
  }
  reply.end_list();
  return {};
}

Result<std::string> reply_with(const CallContext& call, const storage::QueryAnswer& answer, bool full) {
  Reply reply(call.bounds.reply_bytes_max);
  DROVER_TRY(write_hits(reply, answer, full));
  return reply.finish();
}

Result<std::string> for_skill(const CallContext& call, bool positive) {
  std::string task;
  std::optional<int64_t> skill_id;
  uint32_t top_k = 10;
  call.fields.required("task_name", task);
  call.fields.integer("skill_id", skill_id);
  if (!skill_id) call.fields.wrong("skill_id", "is needed");
  call.fields.bounded("top_k", top_k, {1, rows_max});
  DROVER_TRY(call.fields.done());
  const auto& packs = call.store.packs();
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto answer, positive ? packs.positive_for_skill(txn, task, *skill_id, top_k)
                                              : packs.negative_for_skill(txn, task, *skill_id, top_k));
    return reply_with(call, answer, false);
  });
}

Row stats_row(const std::string& task, const storage::PackStatistics& s) {
  return Row{{"task_name", task},
             {"total", s.total},
             {"positive", s.positive},
             {"negative", s.negative},
             {"positive_ratio", s.positive_ratio},
             {"delta_j_mean", s.delta_j_mean},
             {"delta_j_std", s.delta_j_std},
             {"trust_mean", s.trust_mean},
             {"unique_skills", s.unique_skills},
             {"engine_types", s.engine_types},
             {"source_types", s.source_types},
             {"with_sima", s.with_sima},
             {"with_counterfactual", s.with_counterfactual}};
}

}  // namespace

Result<std::string> packs_list(const CallContext& call) {
  PackQuery query;
  query.sort_by = storage::SortBy::time;
  call.fields.text("task_name", query.task_name);
  call.fields.text("robot", query.robot);
  call.fields.bounded("limit", query.limit, {1, rows_max});
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto answer, call.store.packs().query(txn, query));
    return reply_with(call, answer, false);
  });
}

Result<std::string> packs_query(const CallContext& call) {
  PackQuery query;
  bool explain = false;
  bool full = false;
  read_filters(call.fields, query);
  call.fields.flag("explain", explain);
  call.fields.flag("full", full);
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto answer, call.store.packs().query(txn, query));
    if (!explain) return reply_with(call, answer, full);
    DROVER_ASSIGN(const auto plans, call.store.packs().explain(txn, query));
    Reply reply(call.bounds.reply_bytes_max);
    reply.field("plan", answer.plan);
    reply.field("rows_examined", answer.rows_examined);
    reply.field("packs_loaded", answer.packs_loaded);
    reply.field("plans", plans);
    DROVER_TRY(write_hits(reply, answer, full));
    return reply.finish();
  });
}

Result<std::string> packs_show(const CallContext& call) {
  std::string pack_id;
  call.fields.required("pack_id", pack_id);
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto pack, call.store.packs().get(txn, pack_id));
    if (!pack) return fail(Errc::not_found, "pack_id", "there is no datapack '" + pack_id.substr(0, 200) + "'");
    DROVER_ASSIGN(const auto text, storage::datapack_to_json(*pack));
    Reply reply(call.bounds.reply_bytes_max);
    reply.raw("pack", text);
    return reply.finish();
  });
}

Result<std::string> packs_tasks(const CallContext& call) {
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto tasks, call.store.packs().tasks(txn));
    Reply reply(call.bounds.reply_bytes_max);
    reply.begin_list("tasks");
    for (const auto& task : tasks)
      if (!reply.item(Row{{"task_name", task.task_name}, {"packs", task.packs}})) break;
    reply.end_list();
    return reply.finish();
  });
}

Result<std::string> packs_stats(const CallContext& call) {
  std::string task;
  call.fields.text("task_name", task);
  DROVER_TRY(call.fields.done());
  const auto& packs = call.store.packs();
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto known, packs.tasks(txn));
    Reply reply(call.bounds.reply_bytes_max);
    reply.begin_list("tasks");
    bool found = false;
    for (const auto& one : known) {
      if (!task.empty() && one.task_name != task) continue;
      found = true;
      DROVER_ASSIGN(const auto statistics, packs.statistics(txn, one.task_name));
      if (!reply.item(stats_row(one.task_name, statistics))) break;
    }
    if (!found && !task.empty())
      return fail(Errc::not_found, "task_name", "there is no datapack of task '" + task.substr(0, 200) + "'");
    reply.end_list();
    return reply.finish();
  });
}

Result<std::string> packs_positive_for_skill(const CallContext& call) {
  return for_skill(call, true);
}

Result<std::string> packs_negative_for_skill(const CallContext& call) {
  return for_skill(call, false);
}

}  // namespace drover::fleet
