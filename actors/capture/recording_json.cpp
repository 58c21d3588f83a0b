#include "actors/capture/recording_json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "actors/capture/text.hpp"

namespace drover::capture::recording_json {
namespace {

using Json = nlohmann::json;

constexpr size_t message_bytes_max = 4u << 20;
constexpr size_t joints_max = 64;
constexpr size_t cameras_max = 16;
constexpr size_t entries_max = 256;  // of any other list or map
constexpr size_t text_bytes_max = 2000;

// ---- writing: keys in the order they are written, numbers in the shortest form that reads back to the same bits

class Text {
 public:
  Text& open(char bracket) {
    comma();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  Text& close(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  Text& key(std::string_view name) {
    comma();
    quote(name);
    out_ += ':';
    first_ = true;  // no comma before the value
    return *this;
  }
  Text& value(std::string_view text) {
    comma();
    quote(text);
    return *this;
  }
  Text& value(const char* text) { return value(std::string_view(text)); }
  Text& value(bool truth) {
    comma();
    out_ += truth ? "true" : "false";
    return *this;
  }
  template <class T>
  requires std::is_arithmetic_v<T> Text& value(T number) {
    comma();
    char digits[40];
    const auto end = std::to_chars(digits, digits + sizeof digits, number);
    out_.append(digits, end.ptr);
    return *this;
  }
  template <class T>
  Text& field(std::string_view name, const T& v) {
    return key(name).value(v);
  }
  // As float32: enough for what a sensor or a camera sees.
  template <size_t n>
  Text& brief(std::string_view name, const std::array<double, n>& values) {
    key(name).open('[');
    for (const double v : values) value(static_cast<float>(v));
    return close(']');
  }
  Text& hex(std::string_view name, uint64_t v) {
    char digits[20];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(v));
    return field(name, std::string_view(digits));
  }
  std::string take() && { return std::move(out_); }

 private:
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  void quote(std::string_view text) {
    static constexpr char hex_digits[] = "0123456789abcdef";
    out_ += '"';
    for (const char c : printable(text, text_bytes_max)) {
      if (c == '"' || c == '\\') out_ += '\\';
      if (static_cast<unsigned char>(c) >= 0x20) {
        out_ += c;
      } else {
        out_.append("\\u00") += hex_digits[(c >> 4) & 15];
        out_ += hex_digits[c & 15];
      }
    }
    out_ += '"';
  }
  std::string out_;
  bool first_ = true;
};

void add_pose(Text& out, std::string_view name, const RecordedPose& pose) {
  out.key(name).open('{').brief("position_m", pose.position_m).brief("rotation_wxyz", pose.rotation).close('}');
}

void add_condition(Text& out, const RecordedCondition& condition) {
  out.key("condition").open('{').field("set", condition.set).hex("seed", condition.seed);
  out.key("numbers").open('{');
  for (const auto& [name, number] : condition.numbers) out.field(name, number);
  out.close('}').key("choices").open('{');
  for (const auto& [name, choice] : condition.choices) out.field(name, choice);
  out.close('}').close('}');
}

// ---- reading: anything that is not as it should be throws and becomes `corrupt` in guarded()

struct Wrong {
  std::string what;
};
[[noreturn]] void wrong(std::string what) {
  throw Wrong{std::move(what)};
}

template <class Read>
auto guarded(const char* where, std::string_view text, Read&& read) -> Result<decltype(read(Json{}))> {
  if (text.size() > message_bytes_max) return fail(Errc::too_large, where, "the message is over 4 MiB");
  try {
    const Json json = Json::parse(text);
    if (!json.is_object()) return fail(Errc::corrupt, where, "is no JSON object");
    return read(json);
  } catch (const Wrong& e) {
    return fail(Errc::corrupt, where, e.what);
  } catch (const std::exception& e) {
    return fail(Errc::corrupt, where, printable(e.what(), 500));
  }
}

const Json* find(const Json& in, const char* key) {
  const auto it = in.find(key);
  return it == in.end() ? nullptr : &*it;
}

double number(const Json& v, const char* key) {
  if (!v.is_number()) wrong(std::string(key) + " is no number");
  const double out = v.get<double>();
  if (!std::isfinite(out)) wrong(std::string(key) + " is not finite");
  return out;
}
double number_at(const Json& in, const char* key, double otherwise = 0) {
  const Json* v = find(in, key);
  return v == nullptr ? otherwise : number(*v, key);
}
double time_at(const Json& in, const char* key) {
  const double t = number_at(in, key);
  if (t < 0 || t > 1e7) wrong(std::string(key) + " is no time of an episode");
  return t;
}
double amount_at(const Json& in, const char* key, double otherwise = 0) {
  const double v = number_at(in, key, otherwise);
  if (v < 0) wrong(std::string(key) + " is negative");
  return v;
}
std::string clean(const Json& v, const char* key) {
  if (!v.is_string()) wrong(std::string(key) + " is no text");
  return printable(v.get_ref<const std::string&>(), text_bytes_max);
}
std::string text_at(const Json& in, const char* key, std::string_view otherwise = {}) {
  const Json* v = find(in, key);
  return v == nullptr ? std::string(otherwise) : clean(*v, key);
}
bool flag_at(const Json& in, const char* key, bool otherwise) {
  const Json* v = find(in, key);
  if (v == nullptr) return otherwise;
  if (!v->is_boolean()) wrong(std::string(key) + " is neither true nor false");
  return v->get<bool>();
}
uint64_t hex_at(const Json& in, const char* key) {
  const std::string digits = text_at(in, key, "0");
  uint64_t out = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), out, 16);
  if (end.ec != std::errc{} || end.ptr != digits.data() + digits.size()) wrong(std::string(key) + " is no hex number");
  return out;
}
int64_t whole_at(const Json& in, const char* key, int64_t otherwise = 0) {
  const Json* v = find(in, key);
  if (v == nullptr) return otherwise;
  if (!v->is_number_integer() || (v->is_number_unsigned() && v->get<uint64_t>() > INT64_MAX))
    wrong(std::string(key) + " is no whole number");
  return v->get<int64_t>();
}
uint64_t count_at(const Json& in, const char* key, uint64_t most) {
  const int64_t v = whole_at(in, key);
  if (v < 0 || static_cast<uint64_t>(v) > most) wrong(std::string(key) + " is out of range");
  return static_cast<uint64_t>(v);
}
// An empty array where the key is absent.
const Json& list_at(const Json& in, const char* key, size_t most) {
  static const Json none = Json::array();
  const Json* v = find(in, key);
  if (v == nullptr) return none;
  if (!v->is_array() || v->size() > most) wrong(std::string(key) + " is no array, or too long");
  return *v;
}
const Json& object_at(const Json& in, const char* key) {
  static const Json none = Json::object();
  const Json* v = find(in, key);
  if (v == nullptr) return none;
  if (!v->is_object() || v->size() > entries_max) wrong(std::string(key) + " is no object, or too large");
  return *v;
}
template <size_t n>
std::array<double, n> vector_at(const Json& in, const char* key, const std::array<double, n>& otherwise) {
  const Json* v = find(in, key);
  if (v == nullptr) return otherwise;
  if (!v->is_array() || v->size() != n) wrong(std::string(key) + " has not " + std::to_string(n) + " numbers");
  std::array<double, n> out{};
  for (size_t i = 0; i < n; ++i) out[i] = number((*v)[i], key);
  return out;
}
RecordedPose pose_at(const Json& in, const char* key) {
  const Json& v = object_at(in, key);
  RecordedPose out{vector_at<3>(v, "position_m", {}), vector_at<4>(v, "rotation_wxyz", {1, 0, 0, 0})};
  double square = 0;
  for (const double q : out.rotation) square += q * q;
  if (!(square > 1e-6 && square < 1e6)) wrong(std::string(key) + " is no rotation");
  return out;
}
std::string one_of(std::string text, std::initializer_list<std::string_view> allowed, const char* key) {
  for (const std::string_view one : allowed)
    if (text == one) return text;
  wrong(std::string(key) + " has an unknown value");
}

RecordedCondition read_condition(const Json& in) {
  RecordedCondition out;
  out.set = text_at(in, "set");
  out.seed = hex_at(in, "seed");
  for (const auto& [name, v] : object_at(in, "numbers").items()) out.numbers[printable(name)] = number(v, "numbers");
  for (const auto& [name, v] : object_at(in, "choices").items()) out.choices[printable(name)] = clean(v, "choices");
  return out;
}

RecordedJoint read_joint(const Json& in) {
  return {text_at(in, "name"), text_at(in, "limb"), text_at(in, "effector"), amount_at(in, "copper_W_per_Nm2"),
          flag_at(in, "sliding", false)};
}

RecordedCamera read_camera(const Json& in) {
  RecordedCamera out;
  out.name = text_at(in, "name");
  out.link = text_at(in, "link", "world");
  out.in_link = pose_at(in, "in_link");
  out.fovy_deg = number_at(in, "fovy_deg", 45);
  out.width = static_cast<uint32_t>(count_at(in, "width", 65536));
  out.height = static_cast<uint32_t>(count_at(in, "height", 65536));
  out.rate_hz = amount_at(in, "rate_hz");
  return out;
}

}  // namespace

std::string text_of(const RecordingStart& start) {
  Text out;
  out.open('{').field("phase", "start").field("version", version).field("robot", start.robot);
  out.field("task_name", start.task_name).field("world", start.world).field("engine", start.engine);
  out.field("policy", start.policy).field("start_unix_ns", start.start_unix_ns);
  out.field("timestep_s", start.timestep_s).field("control_period_s", start.control_period_s);
  add_condition(out, start.condition);
  out.key("joints").open('[');
  for (const RecordedJoint& j : start.joints)
    out.open('{')
        .field("name", j.name)
        .field("limb", j.limb)
        .field("effector", j.effector)
        .field("copper_W_per_Nm2", j.copper_W_per_Nm2)
        .field("sliding", j.sliding)
        .close('}');
  out.close(']').key("cameras").open('[');
  for (const RecordedCamera& c : start.cameras) {
    out.open('{').field("name", c.name).field("link", c.link);
    add_pose(out, "in_link", c.in_link);
    out.field("fovy_deg", c.fovy_deg).field("width", c.width).field("height", c.height);
    out.field("rate_hz", c.rate_hz).close('}');
  }
  return std::move(out.close(']').close('}')).take();
}

std::string text_of(const RecordingEnd& end) {
  Text out;
  out.open('{').field("phase", "end").field("t", end.duration_s).field("complete", end.complete);
  out.field("stop_reason", end.stop_reason).field("outcome", end.outcome).field("template", end.template_name);
  out.field("failure_reason", end.failure_reason).field("units", end.units).field("attempts", end.attempts);
  out.field("errors", end.errors).field("progress", end.progress).field("safety_violated", end.safety_violated);
  out.field("control_steps", end.control_steps).hex("state_hash", end.state_hash);
  return std::move(out.close('}')).take();
}

std::string text_of(const RecordedEvent& event) {
  Text out;
  out.open('{').field("t", event.time_s).field("kind", event.kind).field("severity", event.severity);
  out.field("detail", event.detail).field("origin", event.origin == EventOrigin::policy ? "policy" : "world");
  return std::move(out.close('}')).take();
}

std::string text_of(const RecordedSkill& skill, bool begin) {
  Text out;
  out.open('{').field("t", begin ? skill.start_s : skill.end_s).field("phase", begin ? "begin" : "end");
  out.field("skill_id", skill.skill_id).field("name", skill.name).field("manoeuvre", skill.manoeuvre);
  out.field("kind", skill.kind).field("start_s", skill.start_s);
  if (!begin) out.field("end_s", skill.end_s).field("outcome", skill.outcome).field("reason", skill.reason);
  return std::move(out.close('}')).take();
}

std::string text_of_energy(double time_s, const RecordedEnergy& energy) {
  Text out;
  out.open('{').field("t", time_s).field("seconds", energy.seconds).field("peak_W", energy.peak_W);
  out.field("mechanical_J", energy.total.mechanical).field("copper_J", energy.total.copper).key("skills").open('[');
  const size_t skills = energy.skill_ids.size();
  const size_t joints = skills == 0 ? 0 : energy.cells.size() / skills;
  for (size_t s = 0; s < skills; ++s) {
    out.open('{').field("skill_id", energy.skill_ids[s]).key("mechanical_J").open('[');
    for (size_t j = 0; j < joints; ++j) out.value(energy.cells[s * joints + j].mechanical);
    out.close(']').key("copper_J").open('[');
    for (size_t j = 0; j < joints; ++j) out.value(energy.cells[s * joints + j].copper);
    out.close(']').close('}');
  }
  return std::move(out.close(']').close('}')).take();
}

std::string text_of_objects(double time_s, std::span<const RecordedFrame> frames) {
  Text out;
  out.open('{').field("t", time_s).key("objects").open('[');
  for (const RecordedFrame& f : frames) {
    if (!f.is_object) continue;
    out.open('{').field("name", f.name).field("parent", f.parent);
    add_pose(out, "pose", f.pose);
    out.field("occluded", static_cast<float>(f.occluded)).close('}');
  }
  return std::move(out.close(']').close('}')).take();
}

std::string text_of_sense(double time_s, const RecordedSense& sense) {
  Text out;
  out.open('{').field("t", time_s);
  add_pose(out, "tool", sense.tool);
  out.brief("tool_force_N", sense.tool_force_N).key("sights").open('[');
  for (const RecordedSight& s : sense.sights) {
    out.open('{').field("name", s.name).field("visible", s.visible).field("kind", s.kind);
    out.brief("position_m", s.position_m).field("tilt_rad", static_cast<float>(s.tilt_rad));
    out.field("extension_m", static_cast<float>(s.extension_m)).close('}');
  }
  return std::move(out.close(']').close('}')).take();
}

std::string text_of_contacts(double time_s, std::span<const RecordedContact> contacts) {
  Text out;
  out.open('{').field("t", time_s).key("contacts").open('[');
  for (const RecordedContact& c : contacts) {
    out.open('{').field("a", c.a).field("b", c.b).field("force_N", static_cast<float>(c.force_N));
    out.brief("point_m", c.point_m).close('}');
  }
  return std::move(out.close(']').close('}')).take();
}

Result<Phase> phase_of(std::string_view text) {
  return guarded("drover.Episode", text, [](const Json& in) {
    return one_of(text_at(in, "phase"), {"start", "end"}, "phase") == "start" ? Phase::start : Phase::end;
  });
}

Result<RecordingStart> read_start(std::string_view text) {
  auto found = guarded("drover.Episode", text, [](const Json& in) {
    RecordingStart out;
    out.control_period_s = -1;  // of a version that is not known
    if (whole_at(in, "version", 0) != version) return out;
    out.robot = text_at(in, "robot");
    out.task_name = text_at(in, "task_name");
    out.world = text_at(in, "world");
    out.engine = text_at(in, "engine");
    out.policy = text_at(in, "policy");
    out.start_unix_ns = whole_at(in, "start_unix_ns");
    if (out.start_unix_ns < 0 || out.start_unix_ns > INT64_MAX / 2) wrong("start_unix_ns is out of range");
    out.timestep_s = amount_at(in, "timestep_s");
    out.control_period_s = amount_at(in, "control_period_s");
    out.condition = read_condition(object_at(in, "condition"));
    for (const Json& joint : list_at(in, "joints", joints_max)) out.joints.push_back(read_joint(joint));
    for (const Json& camera : list_at(in, "cameras", cameras_max)) out.cameras.push_back(read_camera(camera));
    if (out.robot.empty() || out.world.empty() || out.joints.empty()) wrong("names no robot, world or joints");
    return out;
  });
  if (found && found->control_period_s < 0)
    return fail(Errc::unsupported_version, "drover.Episode", "written by another version of the recorder");
  return found;
}

Result<RecordingEnd> read_end(std::string_view text) {
  return guarded("drover.Episode", text, [](const Json& in) {
    RecordingEnd out;
    out.duration_s = time_at(in, "t");
    out.complete = flag_at(in, "complete", true);
    out.stop_reason = text_at(in, "stop_reason");
    out.outcome = one_of(text_at(in, "outcome", "unknown"), {"success", "failure", "recovered", "unknown"}, "outcome");
    out.template_name = text_at(in, "template");
    out.failure_reason = text_at(in, "failure_reason");
    out.units = amount_at(in, "units");
    out.attempts = amount_at(in, "attempts", 1);
    out.errors = amount_at(in, "errors");
    out.progress = amount_at(in, "progress");
    out.safety_violated = flag_at(in, "safety_violated", false);
    out.control_steps = count_at(in, "control_steps", UINT32_MAX);
    out.state_hash = hex_at(in, "state_hash");
    return out;
  });
}

Result<RecordedEvent> read_event(std::string_view text) {
  return guarded("drover.Event", text, [](const Json& in) {
    RecordedEvent out;
    out.time_s = time_at(in, "t");
    out.kind = text_at(in, "kind");
    out.severity = one_of(text_at(in, "severity", "info"), {"info", "warning", "error"}, "severity");
    out.detail = text_at(in, "detail");
    out.origin = one_of(text_at(in, "origin", "world"), {"world", "policy"}, "origin") == "policy" ? EventOrigin::policy
                                                                                                   : EventOrigin::world;
    if (out.kind.empty()) wrong("kind is empty");
    return out;
  });
}

Result<SkillMessage> read_skill(std::string_view text) {
  return guarded("drover.Skill", text, [](const Json& in) {
    SkillMessage out;
    out.begin = one_of(text_at(in, "phase"), {"begin", "end"}, "phase") == "begin";
    RecordedSkill& s = out.skill;
    s.skill_id = whole_at(in, "skill_id");
    s.name = text_at(in, "name");
    s.manoeuvre = text_at(in, "manoeuvre");
    s.kind = one_of(text_at(in, "kind", "skill"), {"skill", "retry", "recovery"}, "kind");
    s.start_s = time_at(in, "start_s");
    if (out.begin) return out;
    s.end_s = time_at(in, "end_s");
    s.outcome = one_of(text_at(in, "outcome"), {"success", "failure", "recovered", "unknown"}, "outcome");
    s.reason = text_at(in, "reason");
    if (s.end_s < s.start_s) wrong("end_s is before start_s");
    return out;
  });
}

Result<Timed<RecordedEnergy>> read_energy(std::string_view text, size_t joints) {
  return guarded("drover.Energy", text, [joints](const Json& in) {
    Timed<RecordedEnergy> out;
    out.time_s = time_at(in, "t");
    RecordedEnergy& e = out.value;
    e.seconds = amount_at(in, "seconds");
    e.peak_W = amount_at(in, "peak_W");
    e.total = {amount_at(in, "mechanical_J"), amount_at(in, "copper_J")};
    const Json& skills = list_at(in, "skills", entries_max);
    e.cells.resize(skills.size() * joints);
    for (size_t s = 0; s < skills.size(); ++s) {
      e.skill_ids.push_back(whole_at(skills[s], "skill_id"));
      const Json& work = list_at(skills[s], "mechanical_J", joints_max);
      const Json& copper = list_at(skills[s], "copper_J", joints_max);
      if (work.size() != joints || copper.size() != joints) wrong("a skill has not one value for each joint");
      for (size_t j = 0; j < joints; ++j) {
        RecordedJoules& cell = e.cells[s * joints + j];
        cell = {number(work[j], "mechanical_J"), number(copper[j], "copper_J")};
        if (cell.mechanical < 0 || cell.copper < 0) wrong("a cell is negative");
      }
    }
    return out;
  });
}

Result<Timed<Objects>> read_objects(std::string_view text) {
  return guarded("drover.Scene", text, [](const Json& in) {
    Timed<Objects> out;
    out.time_s = time_at(in, "t");
    const Json& list = list_at(in, "objects", entries_max);
    out.value.names.reserve(2 * list.size());  // views point into it
    for (const Json& one : list) {
      RecordedFrame frame;
      frame.name = out.value.names.emplace_back(text_at(one, "name"));
      frame.parent = out.value.names.emplace_back(text_at(one, "parent", "world"));
      frame.pose = pose_at(one, "pose");
      frame.is_object = true;
      frame.occluded = std::clamp(number_at(one, "occluded"), 0.0, 1.0);
      out.value.frames.push_back(frame);
    }
    return out;
  });
}

Result<Timed<Sense>> read_sense(std::string_view text) {
  return guarded("drover.Sense", text, [](const Json& in) {
    Timed<Sense> out;
    out.time_s = time_at(in, "t");
    out.value.sense.tool = pose_at(in, "tool");
    out.value.sense.tool_force_N = vector_at<3>(in, "tool_force_N", {});
    const Json& list = list_at(in, "sights", entries_max);
    out.value.names.reserve(2 * list.size());
    for (const Json& one : list) {
      RecordedSight sight;
      sight.name = out.value.names.emplace_back(text_at(one, "name"));
      sight.kind = out.value.names.emplace_back(text_at(one, "kind"));
      sight.visible = flag_at(one, "visible", false);
      sight.position_m = vector_at<3>(one, "position_m", {});
      sight.tilt_rad = number_at(one, "tilt_rad");
      sight.extension_m = number_at(one, "extension_m");
      out.value.sense.sights.push_back(sight);
    }
    return out;
  });
}

Result<Timed<Contacts>> read_contacts(std::string_view text) {
  return guarded("drover.Contacts", text, [](const Json& in) {
    Timed<Contacts> out;
    out.time_s = time_at(in, "t");
    const Json& list = list_at(in, "contacts", entries_max);
    out.value.names.reserve(2 * list.size());
    for (const Json& one : list) {
      RecordedContact contact;
      contact.a = out.value.names.emplace_back(text_at(one, "a"));
      contact.b = out.value.names.emplace_back(text_at(one, "b"));
      contact.force_N = amount_at(one, "force_N");
      contact.point_m = vector_at<3>(one, "point_m", {});
      out.value.contacts.push_back(contact);
    }
    return out;
  });
}

}  // namespace drover::capture::recording_json
