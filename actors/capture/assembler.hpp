// Assembler: turns a stream of samples into episodes (statistics, events, energy, motion, outcome).
//
// Knows nothing of files. A source names columns, then for each sample asks cut_before() and, when that names a reason,
// close()s the running episode before it push()es the sample. Samples come in the order of the log.
// Invariants: state is a pure function of the samples pushed; memory is bounded (events, steps, channels, notes).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/capture/captured.hpp"
#include "actors/capture/energy.hpp"
#include "actors/capture/mapping.hpp"
#include "actors/capture/motion.hpp"

namespace drover::capture {

// Identity shared by all episodes of one source.
struct SourceIdentity {
  std::string robot;
  std::string name;  // file name
  Hash hash{};
  uint64_t size_bytes = 0;
};

// What a source column is used for. One column may have several uses.
struct ColumnUse {
  uint32_t id = 0;          // goes into Reading
  bool is_channel = false;  // blank cells follow the mapping's policy
  bool on_text = false;     // the source gives 1 when the cell passes `condition`, else 0
  Condition condition;
};

struct Reading {
  uint32_t id = 0;
  double value = 0;  // NaN: missing
};

class Assembler {
 public:
  Assembler(const Mapping& mapping, SourceIdentity identity);

  // Declares a column; call once per name, at any time. Empty: nothing needs this column.
  std::vector<ColumnUse> add_column(std::string_view name);

  // The time to use for a sample stamped `time_ns`; nothing when the sample is to be skipped (it stepped back).
  std::optional<int64_t> admit(int64_t time_ns);

  // Whether the sample starts a new episode; nothing also when no episode is open.
  std::optional<CutReason> cut_before(int64_t time_ns, std::span<const Reading> readings) const;

  // Ends the open episode; `next` is the first sample of the next one where that follows without a gap, so that the
  // time and energy between the two are not lost. An episode must be open. The slice is left to the source.
  struct Next {
    int64_t time_ns = 0;
    std::span<const Reading> readings;
  };
  CapturedEpisode close(CutReason reason, const std::optional<Next>& next);

  void push(int64_t time_ns, std::span<const Reading> readings);
  // A remark on the open (or the next) episode. At most 32 are kept.
  void note(std::string text);
  void mark_incomplete() noexcept { complete_ = false; }
  void mark_generated() noexcept { generated_ = true; }
  bool open() const noexcept { return rows_ > 0; }
  uint64_t ordinal() const noexcept { return ordinal_; }
  uint64_t rows() const noexcept { return rows_; }

 private:
  static constexpr size_t no_event = SIZE_MAX;
  enum class Role : uint8_t { channel, cycle, units, event };
  struct Use {
    Role role;
    uint32_t index;
  };
  struct Channel {
    std::string name, unit;
    double scale = 1, offset = 0;
    bool automatic = false;
    bool moves = false;
    uint64_t samples = 0, missing = 0;
    double minimum = 0, maximum = 0, mean = 0;
  };
  struct EventState {
    bool bound = false;  // the log has the column; without it nothing is known of this event
    bool active = false;
    uint64_t onsets = 0, rows = 0, onset_rows = 0;
    size_t open_event = no_event;  // index into events_ while the condition holds
  };

  uint32_t add_use(Role role, size_t index) {
    uses_.push_back({role, static_cast<uint32_t>(index)});
    return static_cast<uint32_t>(uses_.size() - 1);
  }
  std::optional<uint32_t> add_channel(std::string_view column);
  void begin(int64_t time_ns);
  void take_channel(uint32_t index, double value);
  void take_event(uint32_t index, int64_t time_ns, double value);
  void end_event(EventState& state, int64_t time_ns);
  MotionState motion_state(std::span<const Reading> readings) const;
  void forget(std::span<const Reading> readings);
  void extend_to(const Next& next);
  bool same_cycle(const Next& next) const;
  void reset();
  std::string outcome(bool interrupted) const;
  double units_made(const std::string& outcome, bool interrupted) const;
  void write_header(CapturedEpisode& episode);
  void write_streams(Episode& header) const;
  void write_events(CapturedEpisode& episode);

  const Mapping& mapping_;
  SourceIdentity identity_;
  std::vector<Use> uses_;
  std::vector<Channel> channels_;
  std::vector<double> values_;  // of the sample at hand, by channel; NaN where it has none
  std::vector<EventState> event_states_;
  EnergyMeter energy_;
  MotionTrace motion_;

  uint64_t ordinal_ = 0;
  uint64_t rows_ = 0;
  int64_t start_ns_ = 0;
  int64_t last_ns_ = 0;
  std::optional<double> cycle_;
  std::optional<double> units_first_, units_last_;
  std::vector<EpisodeEvent> events_;
  uint64_t events_dropped_ = 0;
  uint64_t clamped_ = 0, skipped_ = 0;
  double errors_ = 0;
  std::vector<std::string> notes_;
  bool complete_ = true;
  bool generated_ = false;
};

}  // namespace drover::capture
