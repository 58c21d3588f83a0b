// Mapping: what one kind of log looks like, read from a TOML file, so that a new kind needs no code.
//
// configs/mappings/README.md documents every key. Invariants of a Mapping that parse_mapping returned: every enum,
// pattern and condition is valid, numbers are inside their ranges, and names that refer to each other exist.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/capture/clock.hpp"
#include "actors/capture/csv.hpp"
#include "actors/capture/number.hpp"
#include "messages/result.hpp"

namespace drover::capture {

// A name with at most one placeholder: `{i}` stands for digits, `{name}` for any text that is not empty.
class NamePattern {
 public:
  NamePattern() = default;
  // Errors: invalid_argument (unknown placeholder or more than one).
  static Result<NamePattern> parse(std::string_view text);

  // What the placeholder stands for when `name` fits ("" for a pattern without one); nothing when it does not.
  std::optional<std::string> match(std::string_view name) const;
  // The text with the placeholder replaced.
  std::string expand(std::string_view capture) const;
  bool has_placeholder() const noexcept { return placeholder_ != Placeholder::none; }
  const std::string& text() const noexcept { return text_; }
  bool empty() const noexcept { return text_.empty(); }

 private:
  enum class Placeholder : uint8_t { none, digits, any };
  std::string text_;
  std::string prefix_;
  std::string suffix_;
  Placeholder placeholder_ = Placeholder::none;
};

// `*` any run, `?` any one byte; the whole name must fit; case matters not for ASCII letters.
bool glob_match(std::string_view glob, std::string_view name) noexcept;

// When a cell means that something happens: "true", "false", "each", "> 3.5", "== 2", "== FAULT", "!= 1" ...
struct Condition {
  enum class Op : uint8_t { is_true, is_false, each, gt, ge, lt, le, eq, ne, text_eq, text_ne };
  Op op = Op::is_true;
  double value = 0;
  std::string text;  // text_eq, text_ne

  static Result<Condition> parse(std::string_view text);
  bool on_text() const noexcept { return op == Op::text_eq || op == Op::text_ne; }
  bool holds(double reading) const noexcept;
  bool holds(std::string_view reading) const noexcept { return (reading == text) == (op == Op::text_eq); }
};

// `recording` is built in: no mapping file can name it.
enum class LogFormat : uint8_t { csv, mcap, recording };
enum class Ragged : uint8_t { skip, pad, damage };
enum class Blank : uint8_t { missing, zero, previous };
enum class Backward : uint8_t { cut, skip, clamp };
enum class EnergyMethod : uint8_t { none, measured_power, torque_velocity, current_nominal_voltage };

std::string_view energy_method_name(EnergyMethod method) noexcept;

struct MatchRule {
  std::vector<std::string> files;    // globs on the file name; empty: any
  std::vector<std::string> columns;  // csv: all must be in the header
  std::string profile;               // mcap: of the header; empty: any
  std::vector<std::string> topics;   // mcap: all must be there
};

struct CsvRule {
  CsvFormat format;
  Decimal decimal = Decimal::automatic;
  Ragged ragged = Ragged::skip;
  Blank blank = Blank::missing;
  std::vector<std::string> missing_texts;  // cells that mean "no value", beside blank ones
};

struct ClockConfig {
  std::string column;  // csv; empty with format row. mcap uses the log time
  ClockRule rule;
  double rate_hz = 1;  // format row
  Backward backward = Backward::cut;
  double backward_tolerance_s = 1;  // a step back of at most this is clamped
};

struct ChannelRule {
  NamePattern column;
  NamePattern name;
  std::string unit;
  double scale = 1;
  double offset = 0;  // value = cell * scale + offset
};

struct EpisodeRule {
  std::string cycle_column;
  std::string start_event;    // kind of an event whose onset starts a new episode
  double gap_s = 0;           // 0: gaps do not cut
  double max_duration_s = 0;  // 0: no bound
};

struct EventRule {
  std::string kind;
  std::string column;  // csv: column; mcap: topic, or topic:field
  Condition when;
  std::string severity = "info";  // info | warning | error
  bool counts_as_error = false;
  bool stops_motion = false;
};

struct EnergyRule {
  EnergyMethod method = EnergyMethod::none;
  NamePattern power;          // channel [W], or
  NamePattern current;        // supply current [A] and
  NamePattern voltage;        // supply voltage [V]
  NamePattern torque;         // per joint [Nm]
  NamePattern velocity;       // per joint [rad/s]
  NamePattern joint_current;  // per joint [A]
  double nominal_voltage_V = 48;
  double gap_s = 5;  // no integration across longer gaps
  std::string joint_name = "joint_{i}";
};

struct TaskRule {
  std::string name;
  std::string env_type;
  std::string engine_type = "real";
  double units_per_episode = 1;
  std::string units_column;  // counter: units = last - first
};

struct Skill {
  int64_t id = 0;
  std::string name;
};

struct MotionRule {
  NamePattern velocity;  // channels; empty: the whole episode is one step of `whole`
  double threshold = 0.01;
  double min_step_s = 0;  // shorter steps join the one before
  Skill move{100, "MOVE"};
  Skill dwell{101, "DWELL"};
  Skill stopped{102, "STOPPED"};
  Skill whole{103, "RECORDING"};
};

struct Mapping {
  std::string file;  // where it was read from
  std::string kind;
  std::string description;
  LogFormat format = LogFormat::csv;
  int64_t priority = 0;
  MatchRule match;
  CsvRule csv;
  ClockConfig clock;
  std::vector<ChannelRule> channels;
  bool auto_channels = false;  // every numeric column or field without a rule is a channel of its own name
  EpisodeRule episode;
  std::vector<EventRule> events;
  EnergyRule energy;
  TaskRule task;
  MotionRule motion;
};

// Parses one mapping. `file` is used in messages only. The error (invalid_argument) lists every problem, one per line:
// "configs/mappings/x.toml:12: energy.method: unknown value "foo"; allowed: ...".
Result<Mapping> parse_mapping(std::string_view toml_text, std::string_view file);

}  // namespace drover::capture
