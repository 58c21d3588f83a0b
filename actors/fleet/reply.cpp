// Replies and their rows (see reply.hpp).
#include "actors/fleet/reply.hpp"

#include <set>

namespace drover::fleet {

namespace {
constexpr size_t tail_bytes = 64;  // room for the closing brackets and the mark of truncation
}

std::string dump(const Row& row) {
  return row.dump(-1, ' ', false, Row::error_handler_t::replace);
}

void Reply::name(std::string_view name) {
  if (text_.size() > 1) text_ += ',';
  text_ += dump(Row(std::string(name)));
  text_ += ':';
}

void Reply::raw(std::string_view field, std::string_view json) {
  name(field);
  text_ += json;
}

void Reply::begin_list(std::string_view field) {
  name(field);
  text_ += '[';
  in_list_ = list_empty_ = true;
}

bool Reply::raw_item(std::string_view json) {
  if (!in_list_ || text_.size() + json.size() + tail_bytes > bytes_max_) {
    in_list_ = false;
    truncated_ = true;
    return false;
  }
  if (!list_empty_) text_ += ',';
  text_ += json;
  list_empty_ = false;
  return true;
}

void Reply::end_list() {
  text_ += ']';
  in_list_ = false;
}

Result<std::string> Reply::finish() {
  if (truncated_) field("truncated", true);
  text_ += '}';
  if (text_.size() > bytes_max_)
    return fail(Errc::too_large, "reply",
                "has " + std::to_string(text_.size()) + " bytes, more than the " + std::to_string(bytes_max_) +
                    " that an answer may have; ask for less, or read the store itself");
  return std::move(text_);
}

Row pack_row(const Datapack& pack) {
  std::set<int64_t> skills;
  for (const SkillStep& step : pack.skill_trace) skills.insert(step.skill_id);
  const Attribution& a = pack.attribution;
  return Row{{"pack_id", pack.pack_id},
             {"task_name", pack.task_name},
             {"robot", pack.provenance.robot},
             {"episode_id", pack.provenance.episode_id},
             {"start_unix_ns", pack.provenance.start_unix_ns},
             {"end_unix_ns", pack.provenance.end_unix_ns},
             {"bucket", bucket_name(pack.bucket)},
             {"delta_J", a.delta_J},
             {"delta_mpl", a.delta_mpl},
             {"delta_error", a.delta_error},
             {"delta_ep", a.delta_ep},
             {"trust_score", a.trust_score},
             {"w_econ", a.w_econ},
             {"mvd_score", a.mvd_score ? Row(*a.mvd_score) : Row()},
             {"source_type", source_type_name(a.source_type)},
             {"engine_type", pack.condition.engine_type},
             {"total_Wh", pack.energy.total_Wh},
             {"skills", skills},
             {"tags", pack.semantic_tags},
             {"has_sima", pack.sima_annotation.has_value()},
             {"has_counterfactual", !pack.counterfactual_plan_json.empty()}};
}

Row episode_row(const Episode& e) {
  uint64_t blob_bytes = 0;
  for (const BlobRef& blob : e.blobs) blob_bytes += blob.size_bytes;
  std::set<std::string> kinds;
  for (const EpisodeEvent& event : e.events) kinds.insert(event.kind);
  return Row{{"robot", e.robot},
             {"episode_id", e.episode_id},
             {"task_name", e.task_name},
             {"engine_type", e.engine_type},
             {"source_kind", e.source_kind},
             {"source_name", e.source_name},
             {"start_unix_ns", e.start_unix_ns},
             {"end_unix_ns", e.end_unix_ns},
             {"cycle", e.cycle},
             {"rows", e.rows},
             {"outcome", e.outcome},
             {"complete", e.complete},
             {"events", e.events.size()},
             {"event_kinds", kinds},
             {"blob_bytes", blob_bytes}};
}

Row event_row(const Event& e) {
  return Row{{"time_unix_ns", e.time_unix_ns},
             {"kind", e.kind},
             {"severity", e.severity},
             {"subject", e.subject},
             {"detail", e.detail}};
}

Row episode_details(const Episode& e) {
  Row row = episode_row(e);
  row["source_hash"] = to_hex(e.source_hash);
  row["value_per_byte"] = e.value_per_byte;
  row["notes"] = e.notes;
  row["events"] = Row::array();
  for (const EpisodeEvent& v : e.events)
    row["events"].push_back(Row{{"time_unix_ns", v.time_unix_ns},
                                {"kind", v.kind},
                                {"severity", v.severity},
                                {"detail", v.detail},
                                {"duration_s", v.duration_s}});
  row["streams"] = Row::array();
  for (const StreamStat& v : e.streams)
    row["streams"].push_back(Row{{"name", v.name},
                                 {"unit", v.unit},
                                 {"samples", v.samples},
                                 {"missing", v.missing},
                                 {"minimum", v.minimum},
                                 {"maximum", v.maximum},
                                 {"mean", v.mean}});
  if (!e.extra_json.empty()) {
    Row extra = Row::parse(e.extra_json, nullptr, false);
    row["extra"] = extra.is_discarded() ? Row(e.extra_json) : std::move(extra);
  }
  return row;
}

}  // namespace drover::fleet
