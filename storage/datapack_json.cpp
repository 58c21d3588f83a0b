// One declaration per struct (`fields`) serves the reader and the writer (see datapack_json.hpp).
#include "storage/datapack_json.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <system_error>

#include "storage/datapack_json_scan.hpp"

namespace drover::storage {
namespace {

using json::Member;
using json::Members;

// A text field that holds one JSON object verbatim.
struct Raw {
  std::string& text;
};

// Where the raw data is. null in a portable pack, which has none; there null is the value, not an oddity to be kept.
struct RawPath {
  std::string& text;
  const std::string& schema_version;
  bool null_is_usual() const { return schema_version == schema_version_portable; }
};

// ---- which JSON name is which member -------------------------------------------------------------

template <class V, class T>
concept Same = std::same_as<std::remove_const_t<V>, T>;

template <Same<Provenance> T, class F>
void fields(T& v, F&& f) {
  f("robot", v.robot);
  f("episode_id", v.episode_id);
  f("start_unix_ns", v.start_unix_ns);
  f("end_unix_ns", v.end_unix_ns);
  f("source", v.source);
}

template <Same<Condition> T, class F>
void fields(T& v, F&& f) {
  f("task_name", v.task_name);
  f("engine_type", v.engine_type);
  f("world_id", v.world_id);
  f("vase_offset", v.vase_offset_m);
  f("drawer_friction", v.drawer_friction);
  f("lighting_profile", v.lighting_profile);
  f("occlusion_level", v.occlusion_level);
  f("econ_preset", v.econ_preset);
  f("price_per_unit", v.price_per_unit);
  f("vase_break_cost", v.vase_break_cost);
  f("energy_price_kWh", v.energy_price_kWh);
  f("objective_vector", v.objective_vector);
  f("tags", Raw{v.tags_json});
}

template <Same<Attribution> T, class F>
void fields(T& v, F&& f) {
  f("delta_mpl", v.delta_mpl);
  f("delta_error", v.delta_error);
  f("delta_ep", v.delta_ep);
  f("delta_J", v.delta_J);
  f("trust_score", v.trust_score);
  f("w_econ", v.w_econ);
  f("lambda_budget", v.lambda_budget);
  f("source_type", v.source_type);
  f("wm_model_id", v.wm_model_id);
  f("wm_horizon_used", v.wm_horizon_used);
  f("wm_branch_depth", v.wm_branch_depth);
  f("wm_trust_over_horizon", v.wm_trust_over_horizon);
  f("mvd_score", v.mvd_score);
  f("econ_weight_final", v.econ_weight_final);
  f("used_in_training_runs", v.used_in_training_runs);
  f("wm_role", v.wm_role);
  f("skill_contribs", v.skill_contribs);
}

template <Same<Energy> T, class F>
void fields(T& v, F&& f) {
  f("total_Wh", v.total_Wh);
  f("Wh_per_unit", v.Wh_per_unit);
  f("Wh_per_hour", v.Wh_per_hour);
  f("energy_per_limb", v.per_limb);
  f("energy_per_skill", v.per_skill);
  f("energy_per_joint", v.per_joint);
  f("energy_per_effector", v.per_effector);
  f("coordination_metrics", v.coordination_metrics);
  f("limb_energy_Wh", v.limb_energy_Wh);
  f("skill_energy_Wh", v.skill_energy_Wh);
}

template <Same<SkillStep> T, class F>
void fields(T& v, F&& f) {
  f("skill_id", v.skill_id);
  f("start_s", v.start_s);
  f("end_s", v.end_s);
  f("outcome", v.outcome);
}

template <Same<SimaAnnotation> T, class F>
void fields(T& v, F&& f) {
  f("instruction", v.instruction);
  f("step_narrations", v.step_narrations);
  f("sima_agent_id", v.sima_agent_id);
  f("source_world", v.source_world);
  f("derived_skill_plan", v.derived_skill_plan);
}

template <Same<Datapack> T, class F>
void fields(T& v, F&& f) {
  f("schema_version", v.schema_version);
  f("pack_id", v.pack_id);
  f("task_name", v.task_name);
  f("env_type", v.env_type);
  f("brick_id", v.brick_id);
  f("bucket", v.bucket);
  f("semantic_tags", v.semantic_tags);
  f("energy_driver_tags", v.energy_driver_tags);
  f("provenance", v.provenance);
  f("condition", v.condition);
  f("attribution", v.attribution);
  f("energy", v.energy);
  f("agent_profile", Raw{v.agent_profile_json});
  f("skill_trace", v.skill_trace);
  f("episode_metrics", Raw{v.episode_metrics_json});
  f("sima_annotation", v.sima_annotation);
  f("vla_plan", Raw{v.vla_plan_json});
  f("counterfactual_plan", Raw{v.counterfactual_plan_json});
  f("counterfactual_source", v.counterfactual_source);
  f("raw_data_path", RawPath{v.raw_data_path, v.schema_version});
  f("scene_tracks_v1", Raw{v.scene_tracks_json});
  f("rgb_features_v1", Raw{v.rgb_features_json});
  f("slice_labels_v1", Raw{v.slice_labels_json});
}

// ---- reading -------------------------------------------------------------------------------------

// What went wrong and where in the text; converted to "line:column path" at the top.
struct Problem {
  const char* at = nullptr;
  std::string path;
  std::string what;
};

// Reads values out of slices. After the first problem every further call returns false.
// `lossy` is set when the text says more than the value can hold.
class Reader {
 public:
  Problem problem;

  template <class T>
  bool object(std::string_view raw, T& v, std::string& extra) {
    if (!json::is_object(raw)) return bad(raw, "expected an object");
    const Members members = json::members(raw);
    std::vector<bool> used(members.size());
    std::string kept;
    bool ok = true;
    size_t hint = 0;  // fields mostly come in the order we write them
    fields(v, [&](std::string_view name, auto&& field) {
      if (!ok) return;
      const size_t i = find(members, name, hint);
      if (i == members.size()) return;
      hint = i + 1;
      used[i] = true;
      Scope scope(*this, name);
      bool lossy = false;
      std::string nested;  // what an object without extra_json of its own could not keep
      ok = read(members[i].value, field, lossy, nested);
      if (ok && (lossy || !nested.empty())) keep(kept, name, nested.empty() ? members[i].value : nested);
    });
    if (!ok) return false;
    for (size_t i = 0; i < members.size(); ++i)
      if (!used[i]) keep(kept, members[i].key, members[i].value);
    extra = kept.empty() ? std::string() : kept + "}";
    return true;
  }

  // One overload per kind of field. False: problem is set.
  bool read(std::string_view raw, std::string& v, bool& lossy, std::string&) {
    if (json::is_null(raw)) return v.clear(), lossy = true;
    if (!json::is_string(raw)) return bad(raw, "expected text");
    if (!json::unescape(raw, v)) return bad(raw, "holds half of a surrogate pair, which is not text");
    if (v.empty()) lossy = true;
    return true;
  }
  bool read(std::string_view raw, Raw v, bool& lossy, std::string&) {
    v.text.clear();
    if (json::is_null(raw)) return lossy = true;
    if (!json::is_object(raw)) return bad(raw, "expected an object");
    json::append_compact(v.text, raw);
    return true;
  }
  bool read(std::string_view raw, RawPath v, bool& lossy, std::string& nested) {
    if (!json::is_null(raw) || !v.null_is_usual()) return read(raw, v.text, lossy, nested);
    v.text.clear();
    return true;
  }
  bool read(std::string_view raw, double& v, bool& lossy, std::string&) {
    if (!json::is_number(raw)) return bad(raw, "expected a number");
    const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), v);
    if (error == std::errc::result_out_of_range) return bad(raw, "is out of the range of a double");
    if (error != std::errc() || end != raw.data() + raw.size()) return bad(raw, "expected a number");
    if (!json::same_number(raw, v)) lossy = true;
    return true;
  }
  bool read(std::string_view raw, int64_t& v, bool&, std::string&) {
    const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), v);
    if (error != std::errc() || end != raw.data() + raw.size())
      return bad(raw, "expected an integer of at most 64 bits");
    return true;
  }
  bool read(std::string_view raw, Bucket& v, bool&, std::string&) {
    return name(raw, v, bucket_from_name, "expected \"positive\" or \"negative\"");
  }
  bool read(std::string_view raw, SourceType& v, bool&, std::string&) {
    return name(raw, v, source_type_from_name, "expected \"real\", \"synthetic\" or \"hybrid\"");
  }
  template <class T>
  bool read(std::string_view raw, std::optional<T>& v, bool& lossy, std::string& nested) {
    v.reset();
    if (json::is_null(raw)) return lossy = true;
    return read(raw, v.emplace(), lossy, nested);
  }
  template <class T>
  bool read(std::string_view raw, std::vector<T>& v, bool& lossy, std::string&) {
    v.clear();
    if (!json::is_array(raw)) return bad(raw, "expected an array");
    for (const std::string_view item : json::items(raw)) {
      Scope scope(*this, std::to_string(v.size()));
      if (!element(item, v.emplace_back(), lossy)) return false;
    }
    return true;
  }
  template <class T>
  bool read(std::string_view raw, std::map<std::string, T>& v, bool& lossy, std::string& nested) {
    v.clear();
    if (!json::is_object(raw)) return bad(raw, "expected an object");
    for (const Member& m : json::members(raw)) {
      Scope scope(*this, m.key);
      if (!read(m.value, v[std::string(m.key)], lossy, nested)) return false;
    }
    return true;
  }
  bool read(std::string_view raw, std::map<int64_t, Metrics>& v, bool& lossy, std::string& nested) {
    v.clear();
    if (!json::is_object(raw)) return bad(raw, "expected an object");
    for (const Member& m : json::members(raw)) {
      Scope scope(*this, m.key);
      int64_t id = 0;
      const auto [end, error] = std::from_chars(m.key.data(), m.key.data() + m.key.size(), id);
      if (error != std::errc() || end != m.key.data() + m.key.size() || std::to_string(id) != m.key)
        return bad(m.value, "the key is not an integer");
      if (!read(m.value, v[id], lossy, nested)) return false;
    }
    return true;
  }
  bool read(std::string_view raw, Provenance& v, bool&, std::string& nested) { return object(raw, v, nested); }
  bool read(std::string_view raw, Condition& v, bool&, std::string&) { return object(raw, v, v.extra_json); }
  bool read(std::string_view raw, Attribution& v, bool&, std::string&) { return object(raw, v, v.extra_json); }
  bool read(std::string_view raw, Energy& v, bool&, std::string&) { return object(raw, v, v.extra_json); }
  bool read(std::string_view raw, SimaAnnotation& v, bool&, std::string&) { return object(raw, v, v.extra_json); }
  bool read(std::string_view raw, SkillStep& v, bool&, std::string&) { return object(raw, v, v.extra_json); }

  bool bad(std::string_view raw, std::string what) {
    if (problem.at == nullptr) problem = {raw.data(), path_, std::move(what)};
    return false;
  }

  static void keep(std::string& extra, std::string_view key, std::string_view raw) {
    extra += extra.empty() ? '{' : ',';
    json::append_quoted(extra, key);
    extra += ':';
    json::append_compact(extra, raw);
  }

 private:
  class Scope {
   public:
    Scope(Reader& reader, std::string_view name) : reader_(reader), size_(reader.path_.size()) {
      if (size_ > 0) reader_.path_ += '.';
      reader_.path_ += name;
    }
    ~Scope() { reader_.path_.resize(size_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Reader& reader_;
    size_t size_;
  };

  // Inside a list null and "" are values of their own.
  bool element(std::string_view raw, std::string& v, bool&) {
    if (!json::is_string(raw)) return bad(raw, "expected text");
    return json::unescape(raw, v) || bad(raw, "holds half of a surrogate pair, which is not text");
  }
  template <class T>
  bool element(std::string_view raw, T& v, bool& lossy) {
    std::string nested;
    return read(raw, v, lossy, nested);
  }
  template <class T, class FromName>
  bool name(std::string_view raw, T& v, FromName from_name, const char* expected) {
    std::string text;
    if (!json::is_string(raw) || !json::unescape(raw, text)) return bad(raw, expected);
    const auto found = from_name(text);
    if (!found) return bad(raw, expected);
    v = *found;
    return true;
  }
  static size_t find(const Members& members, std::string_view name, size_t hint) {
    for (size_t i = hint; i < members.size(); ++i)
      if (members[i].key == name) return i;
    for (size_t i = 0; i < std::min(hint, members.size()); ++i)
      if (members[i].key == name) return i;
    return members.size();
  }

  std::string path_;
};

// ---- writing -------------------------------------------------------------------------------------

class Writer {
 public:
  std::string out;
  Error error;  // of the first problem
  bool ok = true;

  template <class T>
  void object(const T& value, const std::string& extra, const char* where) {
    T& v = const_cast<T&>(value);  // `fields` serves reader and writer; nothing is written here
    const Members kept = parse_extra(extra, where);
    std::vector<bool> used(kept.size());
    bool first = true;
    out += '{';
    fields(v, [&](std::string_view name, auto&& field) {
      const Member* text = nullptr;
      for (size_t i = 0; i < kept.size(); ++i)
        if (kept[i].key == name) used[i] = true, text = &kept[i];
      member(name, field, text != nullptr ? text->value : std::string_view(), first);
    });
    for (size_t i = 0; i < kept.size(); ++i)
      if (!used[i]) key(kept[i].key, first), json::append_compact(out, kept[i].value);
    out += '}';
  }

 private:
  Members parse_extra(const std::string& extra, const char* where) {
    if (extra.empty()) return {};
    const auto raw = json::scan(extra);
    if (raw && json::is_object(*raw)) return json::members(*raw);
    if (ok) error = {Errc::invalid_argument, where, "the unknown fields are not a JSON object"};
    ok = false;
    return {};
  }

  void key(std::string_view name, bool& first) {
    if (!first) out += ',';
    first = false;
    json::append_quoted(out, name);
    out += ':';
  }

  // One field. `kept` is the text it was read from when the struct could not hold all of that; it is used only
  // if it still means what the struct says.
  template <class T>
  void member(std::string_view name, T&& field, std::string_view kept, bool& first) {
    using Field = std::remove_cvref_t<T>;
    if constexpr (std::same_as<Field, Provenance>) {
      if (field == Provenance{} && kept.empty()) return;
      key(name, first);
      object(field, std::string(json::is_object(kept) ? kept : std::string_view()), "provenance");
    } else {
      if (!kept.empty() && still_means(kept, field)) return key(name, first), json::append_compact(out, kept);
      if (absent(field)) return;
      key(name, first);
      write(field);
    }
  }

  template <class T>
  static bool still_means(std::string_view kept, const T& field) {
    Reader reader;
    bool lossy = false;
    std::string nested;
    T read_back{};
    return reader.read(kept, read_back, lossy, nested) && read_back == field;
  }
  static bool still_means(std::string_view kept, const Raw& field) { return json::is_null(kept) && field.text.empty(); }

  static bool still_means(std::string_view kept, const RawPath& field) { return still_means(kept, field.text); }

  static bool absent(const std::string& v) { return v.empty(); }
  static bool absent(const RawPath& v) { return v.text.empty() && !v.null_is_usual(); }
  static bool absent(const Raw& v) { return v.text.empty(); }
  template <class T>
  static bool absent(const std::optional<T>& v) {
    return !v.has_value();
  }
  template <class T>
  static bool absent(const T&) {
    return false;
  }

  void write(const std::string& v) { json::append_quoted(out, v); }
  void write(const RawPath& v) {
    if (!v.text.empty()) return write(v.text);
    out += "null";
  }
  void write(double v) {
    if (std::isfinite(v)) return json::append_number(out, v);
    if (ok) error = {Errc::invalid_argument, "datapack", "holds a number that is not finite, which JSON cannot say"};
    ok = false;
  }
  void write(int64_t v) { out += std::to_string(v); }
  void write(Bucket v) { json::append_quoted(out, bucket_name(v)); }
  void write(SourceType v) { json::append_quoted(out, source_type_name(v)); }
  void write(const Raw& v) {
    const auto raw = json::scan(v.text);
    if (raw) return json::append_compact(out, *raw);
    if (ok) error = {Errc::invalid_argument, "datapack", "a field that promises JSON does not hold it"};
    ok = false;
  }
  template <class T>
  void write(const std::optional<T>& v) {
    write(*v);
  }
  template <class T>
  void write(const std::vector<T>& v) {
    out += '[';
    for (size_t i = 0; i < v.size(); ++i) {
      if (i > 0) out += ',';
      write(v[i]);
    }
    out += ']';
  }
  template <class K, class V>
  void write(const std::map<K, V>& v) {
    bool first = true;
    out += '{';
    for (const auto& [name, value] : v) {
      if constexpr (std::same_as<K, std::string>) {
        key(name, first);
      } else {
        key(std::to_string(name), first);
      }
      write(value);
    }
    out += '}';
  }
  void write(const Condition& v) { object(v, v.extra_json, "condition"); }
  void write(const Attribution& v) { object(v, v.extra_json, "attribution"); }
  void write(const Energy& v) { object(v, v.extra_json, "energy"); }
  void write(const SkillStep& v) { object(v, v.extra_json, "skill_trace"); }
  void write(const SimaAnnotation& v) { object(v, v.extra_json, "sima_annotation"); }
};

}  // namespace

Result<Datapack> datapack_from_json(std::string_view text) {
  if (text.size() > json_line_max_bytes)
    return fail(Errc::too_large, "1:1",
                std::to_string(text.size()) + " bytes, the bound is " + std::to_string(json_line_max_bytes));
  DROVER_ASSIGN(const std::string_view raw, json::scan(text));
  Datapack pack;
  Reader reader;
  if (!reader.object(raw, pack, pack.extra_json)) {
    const auto at = static_cast<size_t>(reader.problem.at - text.data());
    std::string where = json::position_of(text, at);
    if (!reader.problem.path.empty()) where += " " + reader.problem.path;
    return fail(Errc::invalid_argument, std::move(where), reader.problem.what);
  }
  return pack;
}

Result<std::string> datapack_to_json(const Datapack& pack) {
  Writer writer;
  writer.object(pack, pack.extra_json, "datapack");
  if (!writer.ok) return tl::unexpected(writer.error);
  return std::move(writer.out);
}

}  // namespace drover::storage
