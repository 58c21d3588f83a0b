#include "actors/semantics/sima_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <istream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

namespace drover::semantics {
namespace {

using nlohmann::json;

constexpr size_t fixed_columns = 1 + 3 + 4 + 2 + 3 + 1 + 2;  // time, tool, quaternion, gripper, force, power, bits
constexpr size_t object_columns = 6;

std::string json_quoted(std::string_view text) {
  return json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

size_t joints_of(const Rollout& r) {
  return std::min<size_t>(r.joint_count, joints_max);
}
size_t objects_of(const Rollout& r) {
  return std::min(r.objects.size(), objects_max);
}

// Calls visit(reference) for each number of a frame, in the order of the columns.
template <class Frame, class Visit>
void each_number(Frame& f, size_t joints, size_t objects, Visit visit) {
  for (size_t i = 0; i < joints; ++i) visit(f.joint_rad[i]);
  for (size_t i = 0; i < joints; ++i) visit(f.joint_rad_per_s[i]);
  for (size_t i = 0; i < joints; ++i) visit(f.joint_Nm[i]);
  for (auto& x : f.tool_m) visit(x);
  for (auto& x : f.tool_quaternion) visit(x);
  visit(f.gripper_m);
  visit(f.gripper_N);
  for (auto& x : f.force_N) visit(x);
  visit(f.power_W);
  visit(f.contacts);
  visit(f.alarms);
  for (size_t i = 0; i < objects; ++i) {
    for (auto& x : f.objects[i].position_m) visit(x);
    visit(f.objects[i].tilt_rad);
    visit(f.objects[i].extension_m);
    visit(f.objects[i].visible);
  }
}

json column_names(size_t joints, size_t objects) {
  json names = {"time_s"};
  for (const char* what : {"joint_rad", "joint_rad_per_s", "joint_Nm"})
    for (size_t i = 0; i < joints; ++i) names.push_back(fmt::format("{}.{}", what, i));
  for (const char* what : {"tool_m.x", "tool_m.y", "tool_m.z", "tool_quaternion.w", "tool_quaternion.x",
                           "tool_quaternion.y", "tool_quaternion.z", "gripper_m", "gripper_N", "force_N.x", "force_N.y",
                           "force_N.z", "power_W", "contacts", "alarms"})
    names.push_back(what);
  for (size_t i = 0; i < objects; ++i)
    for (const char* what : {"x_m", "y_m", "z_m", "tilt_rad", "extension_m", "visible"})
      names.push_back(fmt::format("object.{}.{}", i, what));
  return names;
}

json truth_json(const GroundTruth& t) {
  json segments = json::array();
  for (const TruthSegment& s : t.segments)
    segments.push_back({label_name(s.label), outcome_name(s.outcome), reason_name(s.reason), s.start_s, s.end_s});
  return {{"template", template_name(t.kind)},
          {"segments", segments},
          {"failure", t.failure},
          {"recovery", t.recovery},
          {"risk", t.risk},
          {"fragility", t.fragility},
          {"novelty", t.novelty},
          {"recovered", t.recovered},
          {"out_of_distribution", t.out_of_distribution},
          {"damage", t.damage},
          {"lucky", t.lucky},
          {"black_swan", t.black_swan}};
}

tl::unexpected<Error> bad(std::string field, std::string what) {
  return fail(Errc::invalid_argument, "rollout." + std::move(field), std::move(what));
}

// ---- reading

Result<std::string> text_at(const json& j, const char* key) {
  const auto it = j.find(key);
  if (it == j.end() || !it->is_string()) return bad(key, "must be text");
  return it->get<std::string>();
}
Result<double> number_at(const json& j, const char* key) {
  const auto it = j.find(key);
  if (it == j.end() || !it->is_number()) return bad(key, "must be a number");
  const double value = it->get<double>();
  if (!std::isfinite(value)) return bad(key, "must be finite");
  return value;
}

Status read_objects(const json& j, Rollout& r) {
  const auto it = j.find("objects");
  if (it == j.end() || !it->is_array() || it->size() > objects_max)
    return bad("objects", "must be a list of at most 6");
  for (const json& o : *it) {
    ObjectInfo info;
    DROVER_ASSIGN(info.name, text_at(o, "name"));
    DROVER_ASSIGN(info.category, text_at(o, "category"));
    DROVER_ASSIGN(info.geometry, text_at(o, "geometry"));
    DROVER_ASSIGN(info.friction, text_at(o, "friction"));
    DROVER_ASSIGN(info.mass, text_at(o, "mass"));
    info.slides = o.value("slides", false);
    r.objects.push_back(std::move(info));
  }
  return {};
}

Status read_frame(const json& row, size_t joints, size_t objects, RolloutFrame& frame) {
  const size_t columns = fixed_columns + 3 * joints + object_columns * objects;
  if (!row.is_array() || row.size() != columns) return bad("frames", fmt::format("each row has {} numbers", columns));
  size_t at = 0;
  bool good = true;
  const auto next = [&]() -> double {
    const json& cell = row[at++];
    if (cell.is_number()) return cell.get<double>();
    if (cell.is_null()) return std::numeric_limits<double>::quiet_NaN();
    good = false;
    return 0;
  };
  frame.time_s = next();
  each_number(frame, joints, objects, [&](auto& value) {
    using T = std::remove_reference_t<decltype(value)>;
    const double number = next();
    if constexpr (std::is_integral_v<T>) {
      good = good && number >= 0 && number <= static_cast<double>(std::numeric_limits<T>::max());
      value = good ? static_cast<T>(number) : T{};
    } else {
      value = static_cast<T>(number);
    }
  });
  if (!good) return bad("frames", "a cell is no number, or outside its range");
  return {};
}

Status read_truth(const json& t, GroundTruth& truth) {
  const std::string kind = t.value("template", "success");
  for (size_t k = 0; k < 4; ++k)
    if (template_name(static_cast<Template>(k)) == kind) truth.kind = static_cast<Template>(k);
  truth.failure = t.value("failure", "");
  truth.recovery = t.value("recovery", "");
  truth.risk = t.value("risk", 0.0);
  truth.fragility = t.value("fragility", 0.0);
  truth.novelty = t.value("novelty", 0.0);
  truth.recovered = t.value("recovered", false);
  truth.out_of_distribution = t.value("out_of_distribution", false);
  truth.damage = t.value("damage", false);
  truth.lucky = t.value("lucky", false);
  truth.black_swan = t.value("black_swan", false);
  for (const json& s : t.value("segments", json::array())) {
    if (!s.is_array() || s.size() != 5 || !s[0].is_string() || !s[1].is_string() || !s[2].is_string() ||
        !s[3].is_number() || !s[4].is_number())
      return bad("truth.segments", "each is [label, outcome, reason, start_s, end_s]");
    const auto label = label_from(s[0].get<std::string>());
    const auto outcome = outcome_from(s[1].get<std::string>());
    const auto reason = reason_from(s[2].get<std::string>());
    if (!label || !outcome || !reason) return bad("truth.segments", "an unknown word");
    truth.segments.push_back({*label, *outcome, *reason, s[3].get<double>(), s[4].get<double>()});
  }
  return {};
}

Result<LabelledRollout> read(const json& j) {
  LabelledRollout out;
  Rollout& r = out.rollout;
  DROVER_ASSIGN(const std::string format, text_at(j, "format"));
  if (format != rollout_format)
    return fail(Errc::unsupported_version, "rollout.format", "unknown: " + format.substr(0, 40));
  DROVER_ASSIGN(r.id, text_at(j, "id"));
  DROVER_ASSIGN(r.robot, text_at(j, "robot"));
  DROVER_ASSIGN(r.task_name, text_at(j, "task"));
  DROVER_ASSIGN(r.world, text_at(j, "world"));
  DROVER_ASSIGN(r.outcome, text_at(j, "outcome"));
  DROVER_ASSIGN(const std::string family, text_at(j, "family"));
  DROVER_ASSIGN(const std::string source, text_at(j, "source"));
  r.family = family_from(family).value_or(Family::other);
  for (const RolloutSource s : {RolloutSource::sima2, RolloutSource::physics, RolloutSource::real_log})
    if (rollout_source_name(s) == source) r.source = s;
  DROVER_ASSIGN(const double signals, number_at(j, "signals"));
  DROVER_ASSIGN(const double joints, number_at(j, "joint_count"));
  DROVER_ASSIGN(r.rate_hz, number_at(j, "rate_hz"));
  if (signals < 0 || signals > signals_all) return bad("signals", "out of range");
  if (joints < 0 || joints > joints_max) return bad("joint_count", "must be 0..8");
  r.signals = static_cast<uint32_t>(signals);
  r.joint_count = static_cast<uint32_t>(joints);
  DROVER_TRY(read_objects(j, r));
  const auto frames = j.find("frames");
  if (frames == j.end() || !frames->is_array()) return bad("frames", "must be a list");
  r.frames.resize(frames->size());
  for (size_t i = 0; i < r.frames.size(); ++i)
    DROVER_TRY(read_frame((*frames)[i], joints_of(r), objects_of(r), r.frames[i]));
  if (const auto e = j.find("embedding"); e != j.end()) {
    DROVER_ASSIGN(const double dimension, number_at(*e, "dimension"));
    DROVER_ASSIGN(r.embedding.stride_s, number_at(*e, "stride_s"));
    if (dimension < 1 || dimension > 4096) return bad("embedding.dimension", "must be 1..4096");
    r.embedding.dimension = static_cast<uint32_t>(dimension);
    for (const json& x : e->value("values", json::array())) {
      if (!x.is_number()) return bad("embedding.values", "must be numbers");
      r.embedding.values.push_back(x.get<float>());
    }
    if (r.embedding.values.size() % r.embedding.dimension != 0) return bad("embedding.values", "must be whole rows");
  }
  if (const auto t = j.find("truth"); t != j.end()) DROVER_TRY(read_truth(*t, out.truth));
  return out;
}

}  // namespace

std::string rollout_text(const LabelledRollout& labelled) {
  const Rollout& r = labelled.rollout;
  fmt::memory_buffer text;
  auto out = std::back_inserter(text);
  fmt::format_to(out, R"({{"format":"{}","id":{},"robot":{},"task":{},"family":"{}","source":"{}","world":{},)",
                 rollout_format, json_quoted(r.id), json_quoted(r.robot), json_quoted(r.task_name),
                 family_name(r.family), rollout_source_name(r.source), json_quoted(r.world));
  fmt::format_to(out, R"("outcome":{},"signals":{},"joint_count":{},"rate_hz":{},"objects":)", json_quoted(r.outcome),
                 r.signals, joints_of(r), std::isfinite(r.rate_hz) ? r.rate_hz : 0.0);
  json objects = json::array();
  for (size_t i = 0; i < objects_of(r); ++i) {
    const ObjectInfo& o = r.objects[i];
    objects.push_back({{"name", o.name},
                       {"category", o.category},
                       {"geometry", o.geometry},
                       {"friction", o.friction},
                       {"mass", o.mass},
                       {"slides", o.slides}});
  }
  const auto dump = [](const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); };
  fmt::format_to(out, R"({},"columns":{},"frames":[)", dump(objects), dump(column_names(joints_of(r), objects_of(r))));
  for (size_t i = 0; i < r.frames.size(); ++i) {
    const RolloutFrame& f = r.frames[i];
    fmt::format_to(out, "{}[{}", i == 0 ? "" : ",", std::isfinite(f.time_s) ? fmt::format("{}", f.time_s) : "null");
    each_number(f, joints_of(r), objects_of(r), [&](const auto& value) {
      if constexpr (std::is_floating_point_v<std::remove_cvref_t<decltype(value)>>) {
        if (!std::isfinite(value)) {
          fmt::format_to(out, ",null");
          return;
        }
        if (value == 0 && std::signbit(value)) {  // a reader would take -0 for a whole number without a sign
          fmt::format_to(out, ",-0.0");
          return;
        }
      }
      fmt::format_to(out, ",{}", value);
    });
    fmt::format_to(out, "]");
  }
  fmt::format_to(out, "]");
  if (r.embedding.dimension > 0)
    fmt::format_to(out, R"(,"embedding":{})",
                   dump({{"dimension", r.embedding.dimension},
                         {"stride_s", r.embedding.stride_s},
                         {"values", r.embedding.values}}));
  if (!labelled.truth.segments.empty()) fmt::format_to(out, R"(,"truth":{})", dump(truth_json(labelled.truth)));
  fmt::format_to(out, "}}");
  return fmt::to_string(text);
}

Result<LabelledRollout> parse_rollout(std::string_view line) {
  if (line.size() > rollout_line_bytes_max) return fail(Errc::too_large, "rollout", "the line is too long");
  const json j = json::parse(line, nullptr, false);
  if (!j.is_object()) return bad("", "is no JSON object");
  try {
    return read(j);
  } catch (const json::exception& e) {  // a field of another type than value() asked for
    return bad("", e.what());
  }
}

ReplayClient::ReplayClient(std::unique_ptr<std::istream> lines) : lines_(std::move(lines)) {}
ReplayClient::~ReplayClient() = default;

Result<std::optional<LabelledRollout>> ReplayClient::next() {
  std::string line;
  while (std::getline(*lines_, line)) {
    ++line_;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto rollout = parse_rollout(line);
    if (!rollout) {
      Error error = std::move(rollout).error();
      error.where = "line " + std::to_string(line_) + ": " + error.where;
      return tl::unexpected(std::move(error));
    }
    return std::optional(std::move(*rollout));
  }
  if (lines_->bad()) return fail(Errc::io, "line " + std::to_string(line_), "reading failed");
  return std::nullopt;
}

}  // namespace drover::semantics
