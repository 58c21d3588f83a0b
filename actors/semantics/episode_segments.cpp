#include "actors/semantics/episode_segments.hpp"

#include <algorithm>
#include <cmath>

#include "actors/semantics/datapack_facts.hpp"
#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

using nlohmann::json;

constexpr size_t text_bytes_max = 256;
constexpr size_t words_max = 256;

struct SignalName {
  Signal signal;
  std::string_view name;
};
constexpr std::array<SignalName, 9> signal_names{{{signal_joints, "joints"},
                                                  {signal_torque, "torque"},
                                                  {signal_tool, "tool"},
                                                  {signal_gripper, "gripper"},
                                                  {signal_force, "force"},
                                                  {signal_contacts, "contacts"},
                                                  {signal_objects, "objects"},
                                                  {signal_power, "power"},
                                                  {signal_alarms, "alarms"}}};

// ---- writing

// Floats in few digits: what a float says is said by six or seven.
double brief(float value) {
  return std::round(static_cast<double>(value) * 1e6) / 1e6;
}
double brief(double value) {
  return std::round(value * 1e6) / 1e6;
}

void write_segment(JsonText& out, const Segment& s, const std::array<float, objects_max>* near_m, size_t things) {
  out.begin_object().field("label", label_name(s.label)).field("start_s", brief(s.start_s));
  out.field("end_s", brief(s.end_s)).field("outcome", outcome_name(s.outcome));
  if (s.reason != Reason::none) out.field("reason", reason_name(s.reason));
  if (s.object != no_object) out.field("object", static_cast<uint32_t>(s.object));
  if (s.retry_of != no_segment) out.field("retry_of", s.retry_of);
  out.field("confidence", brief(s.confidence)).field("first_frame", s.first_frame).field("frames", s.frame_count);
  const SegmentMetrics& m = s.metrics;
  out.field("distance_m", brief(m.distance_m)).field("speed_m_per_s_max", brief(m.speed_m_per_s_max));
  out.field("joint_rad_per_s_max", brief(m.joint_rad_per_s_max)).field("force_N_max", brief(m.force_N_max));
  out.field("energy_Wh", static_cast<double>(m.energy_Wh)).field("clearance_m_min", brief(m.clearance_m_min));
  if (near_m != nullptr && std::any_of(near_m->begin(), near_m->end(), [](float d) { return d >= 0; })) {
    out.key("near_m").begin_array();
    for (size_t i = 0; i < things; ++i) out.value(brief((*near_m)[i]));
    out.end_array();
  }
  out.end_object();
}

void write_objects(JsonText& out, const std::vector<ObjectInfo>& objects) {
  out.key("objects").begin_array();
  for (const ObjectInfo& o : objects) {
    out.begin_object().field("name", clean_text(o.name, text_bytes_max));
    out.field("category", clean_text(o.category, text_bytes_max));
    if (o.slides) out.field("slides", true);
    out.end_object();
  }
  out.end_array();
}

// ---- reading

Result<float> get_float(const json& from, const char* field) {
  DROVER_ASSIGN(const double value, get_number(from, field));
  if (!std::isfinite(value) || std::abs(value) > 1e9) return bad_state(field, "is out of range");
  return static_cast<float>(value);
}

template <class Parsed>
Result<Parsed> get_name(const json& from, const char* field,
                        std::optional<Parsed> (*parse)(std::string_view) noexcept) {
  DROVER_ASSIGN(const std::string text, get_text(from, field));
  const auto value = parse(text);
  if (!value) return bad_state(field, "is none of the closed list");
  return *value;
}

Result<std::string> get_short_text(const json& from, const char* field) {
  DROVER_ASSIGN(std::string text, get_text(from, field));
  return clean_text(text, text_bytes_max);
}

Status read_metrics(const json& from, Segment& s) {
  SegmentMetrics& m = s.metrics;
  DROVER_ASSIGN(m.distance_m, get_float(from, "distance_m"));
  DROVER_ASSIGN(m.speed_m_per_s_max, get_float(from, "speed_m_per_s_max"));
  DROVER_ASSIGN(m.joint_rad_per_s_max, get_float(from, "joint_rad_per_s_max"));
  DROVER_ASSIGN(m.force_N_max, get_float(from, "force_N_max"));
  DROVER_ASSIGN(m.energy_Wh, get_float(from, "energy_Wh"));
  DROVER_ASSIGN(m.clearance_m_min, get_float(from, "clearance_m_min"));
  m.duration_s = static_cast<float>(s.end_s - s.start_s);
  return {};
}

Status read_near(const json& from, size_t things, std::array<float, objects_max>& out) {
  out.fill(-1);
  if (!from.contains("near_m")) return {};
  DROVER_ASSIGN(const json* list, get_list(from, "near_m"));
  if (list->size() != things) return bad_state("near_m", "must have one number for each object");
  for (size_t i = 0; i < things; ++i) {
    if (!(*list)[i].is_number()) return bad_state("near_m", "must be numbers");
    out[i] = static_cast<float>((*list)[i].get<double>());
    if (!std::isfinite(out[i])) return bad_state("near_m", "is out of range");
  }
  return {};
}

Result<Segment> read_segment(const json& from, uint32_t id, size_t things) {
  Segment s;
  s.id = id;
  DROVER_ASSIGN(s.label, get_name<Label>(from, "label", label_from));
  DROVER_ASSIGN(s.outcome, get_name<Outcome>(from, "outcome", outcome_from));
  if (from.contains("reason")) {
    DROVER_ASSIGN(s.reason, get_name<Reason>(from, "reason", reason_from));
  }
  DROVER_ASSIGN(s.start_s, get_number(from, "start_s"));
  DROVER_ASSIGN(s.end_s, get_number(from, "end_s"));
  if (!(s.start_s < s.end_s) || !std::isfinite(s.start_s) || !std::isfinite(s.end_s))
    return bad_state("end_s", "must lie after start_s");
  if ((s.reason != Reason::none) != (s.outcome == Outcome::failure))
    return bad_state("reason", "belongs to a failure, and every failure has one");
  if (from.contains("object")) {
    DROVER_ASSIGN(const uint64_t object, get_count(from, "object"));
    if (object >= things) return bad_state("object", "is none of the objects");
    s.object = static_cast<uint8_t>(object);
  }
  if (from.contains("retry_of")) {
    DROVER_ASSIGN(const uint64_t retry_of, get_count(from, "retry_of"));
    if (retry_of >= id) return bad_state("retry_of", "must be an earlier segment");
    s.retry_of = static_cast<uint32_t>(retry_of);
  }
  DROVER_ASSIGN(s.confidence, get_float(from, "confidence"));
  s.confidence = std::clamp(s.confidence, 0.0F, 1.0F);
  DROVER_ASSIGN(const uint64_t first, get_count(from, "first_frame"));
  DROVER_ASSIGN(const uint64_t frames, get_count(from, "frames"));
  if (first > UINT32_MAX || frames > UINT32_MAX) return bad_state("frames", "is out of range");
  s.first_frame = static_cast<uint32_t>(first);
  s.frame_count = static_cast<uint32_t>(frames);
  DROVER_TRY(read_metrics(from, s));
  return s;
}

Status read_objects(const json& root, Rollout& episode) {
  DROVER_ASSIGN(const json* objects, get_list(root, "objects"));
  if (objects->size() > objects_max) return bad_state("objects", "are too many");
  for (const json& o : *objects) {
    ObjectInfo info;
    DROVER_ASSIGN(info.name, get_short_text(o, "name"));
    DROVER_ASSIGN(info.category, get_short_text(o, "category"));
    info.slides = o.contains("slides") && o["slides"].is_boolean() && o["slides"].get<bool>();
    episode.objects.push_back(std::move(info));
  }
  return {};
}

Status read_episode(const json& root, Rollout& episode) {
  DROVER_ASSIGN(episode.id, get_short_text(root, "episode"));
  DROVER_ASSIGN(episode.task_name, get_short_text(root, "task"));
  DROVER_ASSIGN(episode.robot, get_short_text(root, "robot"));
  DROVER_ASSIGN(episode.world, get_short_text(root, "world"));
  DROVER_ASSIGN(episode.outcome, get_short_text(root, "outcome"));
  DROVER_ASSIGN(episode.rate_hz, get_number(root, "rate_hz"));
  DROVER_ASSIGN(const std::string source, get_text(root, "from"));
  episode.source =
      source == rollout_source_name(RolloutSource::real_log) ? RolloutSource::real_log : RolloutSource::physics;
  DROVER_ASSIGN(const auto signals, get_texts(root, "signals"));
  for (const std::string& name : signals)
    for (const SignalName& s : signal_names)
      if (s.name == name) episode.signals |= s.signal;
  return read_objects(root, episode);
}

}  // namespace

std::string segments_json(const EpisodeSegments& value) {
  const Rollout& e = value.episode;
  JsonText out;
  out.begin_object().field("format", segments_format).field("episode", clean_text(e.id, text_bytes_max));
  out.field("robot", clean_text(e.robot, text_bytes_max)).field("task", clean_text(e.task_name, text_bytes_max));
  out.field("world", clean_text(e.world, text_bytes_max)).field("from", rollout_source_name(e.source));
  out.field("outcome", clean_text(e.outcome, text_bytes_max)).field("rate_hz", brief(e.rate_hz));
  out.field("frames", value.frames).field("dropped_frames", value.dropped_frames).key("signals").begin_array();
  for (const SignalName& s : signal_names)
    if ((e.signals & s.signal) != 0) out.value(s.name);
  out.end_array();
  write_objects(out, e.objects);
  out.field("found", value.found).key("segments").begin_array();
  const size_t count = std::min(value.segments.size(), segments_max);
  for (size_t i = 0; i < count; ++i)
    write_segment(out, value.segments[i], i < value.near_m.size() ? &value.near_m[i] : nullptr, e.objects.size());
  out.end_array().key("words").begin_array();
  for (size_t i = 0; i < std::min(value.words.size(), words_max); ++i)
    out.value(clean_text(value.words[i], text_bytes_max));
  out.end_array().key("tags").raw(value.tags_json).end_object();
  return std::move(out).text();
}

Result<EpisodeSegments> parse_segments(std::string_view text) {
  if (text.size() > segments_bytes_max) return fail(Errc::too_large, std::string(segments_format), "is too long");
  DROVER_ASSIGN(const json root, parse_state(text, segments_format));
  EpisodeSegments out;
  DROVER_TRY(read_episode(root, out.episode));
  DROVER_ASSIGN(out.frames, get_count(root, "frames"));
  DROVER_ASSIGN(out.dropped_frames, get_count(root, "dropped_frames"));
  DROVER_ASSIGN(out.found, get_count(root, "found"));
  DROVER_ASSIGN(const json* segments, get_list(root, "segments"));
  if (segments->size() > segments_max) return bad_state("segments", "are too many");
  for (const json& item : *segments) {
    const auto id = static_cast<uint32_t>(out.segments.size());
    DROVER_ASSIGN(const Segment s, read_segment(item, id, out.episode.objects.size()));
    if (id > 0 && s.start_s < out.segments.back().end_s - 1e-6) return bad_state("start_s", "must not step back");
    DROVER_TRY(read_near(item, out.episode.objects.size(), out.near_m.emplace_back()));
    out.segments.push_back(s);
  }
  DROVER_ASSIGN(out.words, get_texts(root, "words"));
  if (out.words.size() > words_max) return bad_state("words", "are too many");
  for (std::string& word : out.words) word = clean_text(word, text_bytes_max);
  DROVER_ASSIGN(const json* tags, get_map(root, "tags"));
  out.tags_json = tags->dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

Analysis analysis_of_segments(const Datapack& pack, const EpisodeSegments& found, const Stage2Pipeline& pipeline) {
  const Vocabulary& vocabulary = pipeline.vocabulary();
  const Analysis told = analysis_of_datapack(pack, vocabulary);
  Rollout episode = found.episode;
  episode.id = told.facts.episode_id;
  episode.robot = told.facts.robot;
  episode.family = told.facts.family;
  episode.source = told.facts.source == Source::real_log ? RolloutSource::real_log : RolloutSource::physics;
  episode.outcome = told.facts.success ? "success" : "failure";
  const auto primitives = extract_primitives(episode, found.segments, PrimitiveConfig{});
  Analysis out = pipeline.analyse(episode, found.segments, primitives);
  for (size_t i = 0; i < out.facts.actions.size() && i < found.near_m.size(); ++i)
    for (size_t k = 0; k < objects_max; ++k)
      if (k != found.segments[i].object) out.facts.actions[i].near_m[k] = found.near_m[i][k];
  assume_task_object(pack, vocabulary, out.facts);
  out.facts.pack_id = told.facts.pack_id;
  out.facts.source = told.facts.source;
  out.outcome = told.outcome;
  return out;
}

}  // namespace drover::semantics
