// Mapping files: TOML to Mapping, with every problem reported at once, each with file, line and key.
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <set>
#include <type_traits>
#include <utility>

#include "actors/capture/mapping.hpp"

namespace drover::capture {
namespace {

constexpr double seconds_max = 1e9;

template <class T>
using Choices = std::initializer_list<std::pair<std::string_view, T>>;

class Problems {
 public:
  explicit Problems(std::string_view file) : file_(file) {}
  void add(uint32_t line, const std::string& key, const std::string& what) { lines_.emplace(line, key + ": " + what); }
  bool empty() const { return lines_.empty(); }
  std::string text() const {
    std::string out;
    for (const auto& [line, what] : lines_) {
      if (!out.empty()) out += '\n';
      out += file_ + ":" + std::to_string(line) + ": " + what;
    }
    return out;
  }

 private:
  std::string file_;
  std::set<std::pair<uint32_t, std::string>> lines_;  // ordered by line
};

std::string join(const std::set<std::string, std::less<>>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// One TOML table being read. Remembers which keys were asked for; finish() reports all others.
class Table {
 public:
  Table(const toml::table& table, std::string path, Problems& problems)
      : table_(table), path_(std::move(path)), problems_(problems) {}

  uint32_t line(std::string_view key = {}) const {
    const toml::node* node = key.empty() ? nullptr : table_.get(key);
    return node != nullptr ? node->source().begin.line : table_.source().begin.line;
  }
  std::string name(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  void problem(std::string_view key, const std::string& what) { problems_.add(line(key), name(key), what); }

  bool has(std::string_view key) {
    known_.emplace(key);
    return table_.contains(key);
  }
  const toml::node* get(std::string_view key) {
    known_.emplace(key);
    return table_.get(key);
  }

  void text(std::string_view key, std::string& out, bool required = false) {
    const toml::node* node = get(key);
    if (node == nullptr) {
      if (required) problem(key, "missing; it is required");
    } else if (const auto* value = node->as_string()) {
      out = value->get();
      if (required && out.empty()) problem(key, "must not be empty");
    } else {
      problem(key, "must be a text in quotes");
    }
  }
  void flag(std::string_view key, bool& out) {
    const toml::node* node = get(key);
    if (node == nullptr) return;
    if (const auto* value = node->as_boolean()) {
      out = value->get();
    } else {
      problem(key, "must be true or false");
    }
  }
  template <class T>
  void number(std::string_view key, T& out, double minimum, double maximum) {
    const toml::node* node = get(key);
    if (node == nullptr) return;
    const auto value = node->is_number() ? node->value<double>() : std::nullopt;
    if (!value || (std::is_integral_v<T> && !node->is_integer())) {
      problem(key, std::is_integral_v<T> ? "must be a whole number" : "must be a number");
    } else if (!(*value >= minimum && *value <= maximum)) {
      std::string range = toml_number(minimum) + " to " + toml_number(maximum);
      problem(key, "must be in " + range);
    } else {
      out = static_cast<T>(*value);
    }
  }
  template <class T>
  void choice(std::string_view key, T& out, Choices<T> choices) {
    std::string chosen;
    const size_t before = problem_count();
    text(key, chosen);
    if (!table_.contains(key) || problem_count() != before) return;
    std::string allowed;
    for (const auto& [word, value] : choices) {
      if (word == chosen) {
        out = value;
        return;
      }
      allowed += (allowed.empty() ? "" : ", ") + std::string(word);
    }
    problem(key, "unknown value \"" + chosen + "\"; allowed: " + allowed);
  }
  void texts(std::string_view key, std::vector<std::string>& out) {
    const toml::node* node = get(key);
    if (node == nullptr) return;
    const auto* array = node->as_array();
    if (array == nullptr || !std::all_of(array->begin(), array->end(), [](const auto& v) { return v.is_string(); }))
      return problem(key, "must be a list of texts");
    for (const auto& value : *array) out.push_back(value.as_string()->get());
  }
  void pattern(std::string_view key, NamePattern& out, bool required = false) {
    std::string chosen;
    text(key, chosen, required);
    auto parsed = NamePattern::parse(chosen);
    if (parsed) {
      out = std::move(*parsed);
    } else {
      problem(key, parsed.error().what);
    }
  }
  // Calls `read` with the sub-table, if there is one.
  template <class Read>
  void table(std::string_view key, Read&& read) {
    const toml::node* node = get(key);
    if (node == nullptr) return;
    const auto* inner = node->as_table();
    if (inner == nullptr) return problem(key, "must be a table");
    Table reader(*inner, name(key), problems_);
    read(reader);
    reader.finish();
  }
  template <class Read>
  void tables(std::string_view key, Read&& read) {
    const toml::node* node = get(key);
    if (node == nullptr) return;
    const auto* array = node->as_array();
    if (array == nullptr) return problem(key, "must be tables: [[" + name(key) + "]]");
    for (size_t i = 0; i < array->size(); ++i) {
      const std::string path = name(key) + "[" + std::to_string(i) + "]";
      const auto* inner = array->get(i)->as_table();
      if (inner == nullptr) {
        problem(key, "must be tables: [[" + name(key) + "]]");
        continue;
      }
      Table reader(*inner, path, problems_);
      read(reader);
      reader.finish();
    }
  }
  void finish() {
    for (const auto& [key, node] : table_) {
      if (known_.contains(key.str())) continue;
      problems_.add(node.source().begin.line, name(key.str()), "unknown key; known here: " + join(known_));
    }
  }

 private:
  static std::string toml_number(double value) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text;
  }
  size_t problem_count() const { return problems_.text().size(); }

  const toml::table& table_;
  std::string path_;
  Problems& problems_;
  std::set<std::string, std::less<>> known_;
};

void read_match(Table& t, Mapping& m) {
  t.texts("files", m.match.files);
  if (m.format == LogFormat::csv) {
    t.texts("columns", m.match.columns);
  } else {
    t.text("profile", m.match.profile);
    t.texts("topics", m.match.topics);
  }
}

void read_character(Table& t, std::string_view key, std::string_view none_word, char& out) {
  std::string text;
  t.text(key, text);
  if (text.empty()) return;
  if (text == none_word) {
    out = 0;
  } else if (text == "tab") {
    out = '\t';
  } else if (text.size() == 1 && text[0] != '\n' && text[0] != '\r') {
    out = text[0];
  } else {
    t.problem(key, "must be one character, \"tab\" or \"" + std::string(none_word) + "\"");
  }
}

void read_csv(Table& t, CsvRule& csv) {
  read_character(t, "separator", "auto", csv.format.separator);
  read_character(t, "quote", "none", csv.format.quote);
  t.choice<Decimal>("decimal", csv.decimal,
                    {{"auto", Decimal::automatic}, {"comma", Decimal::comma}, {"point", Decimal::point}});
  t.choice<LineEnds>(
      "line_ends", csv.format.line_ends,
      {{"auto", LineEnds::automatic}, {"lf", LineEnds::lf}, {"crlf", LineEnds::crlf}, {"cr", LineEnds::cr}});
  t.text("comment", csv.format.comment);
  t.choice<Ragged>("ragged", csv.ragged, {{"skip", Ragged::skip}, {"pad", Ragged::pad}, {"damage", Ragged::damage}});
  t.choice<Blank>("blank", csv.blank,
                  {{"missing", Blank::missing}, {"zero", Blank::zero}, {"previous", Blank::previous}});
  t.texts("missing_texts", csv.missing_texts);
  t.number("line_bytes_max", csv.format.line_bytes_max, 64, 64 << 20);
  t.number("columns_max", csv.format.columns_max, 1, 100'000);
}

void read_clock(Table& t, Mapping& m) {
  ClockConfig& clock = m.clock;
  t.choice<Backward>("backward", clock.backward,
                     {{"cut", Backward::cut}, {"skip", Backward::skip}, {"clamp", Backward::clamp}});
  t.number("backward_tolerance_s", clock.backward_tolerance_s, 0, seconds_max);
  if (m.format != LogFormat::csv) return;
  t.text("column", clock.column);
  std::string word(clock_format_name(clock.rule.format));
  t.text("format", word, true);
  if (const auto format = clock_format_from_name(word)) {
    clock.rule.format = *format;
  } else if (!word.empty()) {
    t.problem("format", "unknown value \"" + word +
                            "\"; allowed: iso8601, ymd_colon, unix_s, unix_ms, unix_us, unix_ns, uptime_s, row");
  }
  if (clock.rule.format != ClockFormat::row && clock.column.empty()) t.problem("column", "missing; it is required");
  t.number("rate_hz", clock.rate_hz, 1e-6, 1e6);
  std::string text;
  t.text("utc_offset", text);
  if (const auto offset = parse_utc_offset(text.empty() ? "Z" : text)) {
    clock.rule.utc_offset_s = *offset;
  } else {
    t.problem("utc_offset", "must look like \"+02:00\" or \"Z\"");
  }
  text.clear();
  t.text("epoch", text);
  if (text.empty()) return;
  if (const auto epoch = parse_time(text, ClockRule{})) {
    clock.rule.epoch_ns = *epoch;
  } else {
    t.problem("epoch", "must be a time like \"2021-10-05T12:00:00Z\"");
  }
}

void read_channel(Table& t, std::vector<ChannelRule>& channels) {
  ChannelRule rule;
  t.pattern("column", rule.column, true);
  t.pattern("name", rule.name, true);
  t.text("unit", rule.unit);
  t.number("scale", rule.scale, -1e12, 1e12);
  t.number("offset", rule.offset, -1e12, 1e12);
  if (rule.name.has_placeholder() && !rule.column.has_placeholder())
    t.problem("name", "has a placeholder that \"column\" has not");
  if (rule.column.has_placeholder() && !rule.name.has_placeholder())
    t.problem("name", "needs the placeholder of \"column\", or all columns would share one channel");
  channels.push_back(std::move(rule));
}

void read_event(Table& t, std::vector<EventRule>& events) {
  EventRule rule;
  t.text("kind", rule.kind, true);
  t.text("column", rule.column, true);
  std::string when = "true";
  t.text("when", when);
  if (auto condition = Condition::parse(when)) {
    rule.when = std::move(*condition);
  } else {
    t.problem("when", condition.error().what);
  }
  t.choice<std::string>("severity", rule.severity, {{"info", "info"}, {"warning", "warning"}, {"error", "error"}});
  t.flag("counts_as_error", rule.counts_as_error);
  t.flag("stops_motion", rule.stops_motion);
  for (const EventRule& other : events)
    if (other.kind == rule.kind && !rule.kind.empty()) t.problem("kind", "\"" + rule.kind + "\" is there twice");
  events.push_back(std::move(rule));
}

void read_energy(Table& t, EnergyRule& energy) {
  t.choice<EnergyMethod>("method", energy.method,
                         {{"measured_power", EnergyMethod::measured_power},
                          {"torque_velocity", EnergyMethod::torque_velocity},
                          {"current_nominal_voltage", EnergyMethod::current_nominal_voltage},
                          {"none", EnergyMethod::none}});
  t.pattern("power", energy.power);
  t.pattern("current", energy.current);
  t.pattern("voltage", energy.voltage);
  t.pattern("torque", energy.torque);
  t.pattern("velocity", energy.velocity);
  t.pattern("joint_current", energy.joint_current);
  t.number("nominal_voltage_V", energy.nominal_voltage_V, 0.1, 10'000);
  t.number("gap_s", energy.gap_s, 1e-6, seconds_max);
  t.text("joint_name", energy.joint_name);
  if (auto pattern = NamePattern::parse(energy.joint_name); !pattern || !pattern->has_placeholder())
    t.problem("joint_name", "must be a name with {i} or {name}");
  const bool supply = !energy.power.empty() || (!energy.current.empty() && !energy.voltage.empty());
  if (energy.method == EnergyMethod::measured_power && !supply)
    t.problem("method", "measured_power needs \"power\", or \"current\" and \"voltage\"");
  if (energy.method == EnergyMethod::torque_velocity && (energy.torque.empty() || energy.velocity.empty()))
    t.problem("method", "torque_velocity needs \"torque\" and \"velocity\"");
  if (energy.method == EnergyMethod::current_nominal_voltage && energy.joint_current.empty())
    t.problem("method", "current_nominal_voltage needs \"joint_current\"");
  if (energy.torque.empty() != energy.velocity.empty())
    t.problem("torque", "needs \"velocity\" beside it, and the other way round");
}

void read_task(Table& t, TaskRule& task) {
  t.text("name", task.name, true);
  t.text("env_type", task.env_type);
  t.choice<std::string>(
      "engine_type", task.engine_type,
      {{"real", "real"}, {"pybullet", "pybullet"}, {"isaac", "isaac"}, {"ue5", "ue5"}, {"mujoco", "mujoco"}});
  t.number("units_per_episode", task.units_per_episode, 0, 1e9);
  t.text("units_column", task.units_column);
}

void read_motion(Table& t, MotionRule& motion) {
  t.pattern("velocity", motion.velocity);
  t.number("threshold", motion.threshold, 0, 1e9);
  t.number("min_step_s", motion.min_step_s, 0, seconds_max);
  for (auto [key, skill] : {std::pair{"move", &motion.move}, std::pair{"dwell", &motion.dwell},
                            std::pair{"stopped", &motion.stopped}, std::pair{"whole", &motion.whole}})
    t.table(key, [skill = skill](Table& s) {
      s.number("id", skill->id, 0, 1e9);
      s.text("name", skill->name);
    });
}

void read_episode(Table& t, EpisodeRule& episode) {
  t.text("cycle_column", episode.cycle_column);
  t.text("start_event", episode.start_event);
  t.number("gap_s", episode.gap_s, 0, seconds_max);
  t.number("max_duration_s", episode.max_duration_s, 0, seconds_max);
}

void read_mapping(Table& root, Mapping& m) {
  root.text("kind", m.kind, true);
  root.text("description", m.description);
  root.choice<LogFormat>("format", m.format, {{"csv", LogFormat::csv}, {"mcap", LogFormat::mcap}});
  if (!root.has("format")) root.problem("format", "missing; allowed: csv, mcap");
  root.number("priority", m.priority, -1'000'000, 1'000'000);
  root.flag("auto_channels", m.auto_channels);
  if (!root.has("match")) root.problem("match", "missing; it says which files are of this kind");
  root.table("match", [&](Table& t) { read_match(t, m); });
  if (m.format == LogFormat::csv) {
    root.table("csv", [&](Table& t) { read_csv(t, m.csv); });
    if (!root.has("clock")) root.problem("clock", "missing; it is required for csv");
  }
  root.table("clock", [&](Table& t) { read_clock(t, m); });
  root.tables("channel", [&](Table& t) { read_channel(t, m.channels); });
  root.table("episode", [&](Table& t) { read_episode(t, m.episode); });
  root.tables("event", [&](Table& t) { read_event(t, m.events); });
  root.table("energy", [&](Table& t) { read_energy(t, m.energy); });
  if (!root.has("task")) root.problem("task", "missing; it names the task");
  root.table("task", [&](Table& t) { read_task(t, m.task); });
  root.table("motion", [&](Table& t) { read_motion(t, m.motion); });
  m.clock.rule.decimal = m.csv.decimal;
  const auto is_start = [&](const EventRule& e) { return e.kind == m.episode.start_event; };
  if (!m.episode.start_event.empty() && std::none_of(m.events.begin(), m.events.end(), is_start))
    root.problem("episode", "start_event \"" + m.episode.start_event + "\" is the kind of no [[event]]");
  if (!m.kind.empty() && m.kind.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
    root.problem("kind", "may hold only a-z, 0-9 and _, because episode ids start with it");
  if (m.kind.size() > 64) root.problem("kind", "must be at most 64 bytes");
}

}  // namespace

Result<Mapping> parse_mapping(std::string_view toml_text, std::string_view file) {
  Problems problems(file);
  Mapping mapping;
  mapping.file = file;
  try {
    const toml::table document = toml::parse(toml_text, file);
    Table root(document, "", problems);
    read_mapping(root, mapping);
    root.finish();
  } catch (const toml::parse_error& e) {
    problems.add(e.source().begin.line, "TOML", std::string(e.description()));
  }
  if (!problems.empty()) return fail(Errc::invalid_argument, std::string(file), problems.text());
  return mapping;
}

}  // namespace drover::capture
