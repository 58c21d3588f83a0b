// Curriculum: which phase a task's training is in, from how its episodes go. Pure state with its history.
//
//   warmup          until the error rate over the last 100 episodes < 5 %                       or 1000 episodes
//   skill_building  until skills succeed in > 80 % of attempts over the last 100 episodes       or 5000 episodes
//   frontier        until MPL of the last 1000 episodes is < 5 % above that of the 1000 before  or 15000 episodes
//   fine_tuning     for good
//
// Invariants
// - Phases only go forward, one at a time, and not before the window has been filled within the phase: what let a phase
//   end cannot end the next one at once. Every advance is in the history with the reason and the figures.
// - Counters are integers: the state after n episodes is a function of those episodes in their order.
// - Episodes are observed in order of start time. One that turns up behind the last observed is counted, but windows
//   do not go back for it.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/datapack/sampling/config.hpp"
#include "actors/datapack/sampling/sampler.hpp"
#include "messages/result.hpp"

namespace drover::sampling {

// How one episode went.
struct EpisodeResult {
  PackKey key;
  double errors = 0;
  double attempts = 0;  // at the task; 0 with errors counts as 1
  uint32_t skill_attempts = 0;
  uint32_t skill_successes = 0;
  std::optional<double> mpl_units_per_h;
  bool estimated = false;  // errors come from the skill trace: the pack has no metrics of its own
};

struct CurriculumMetrics {
  uint64_t episodes = 0;
  uint64_t episodes_in_phase = 0;
  uint64_t late = 0;       // counted, but in no window
  uint64_t estimated = 0;  // of the window
  uint32_t window = 0;     // episodes in it
  double error_rate = 0;
  double affordance_success = 0;
  std::optional<double> mpl_growth;  // absent: fewer episodes than two blocks, or no output before
  uint64_t mpl_episodes = 0;
};

struct Advance {
  Phase from{};
  Phase to{};
  std::string because;
  CurriculumMetrics metrics;    // at that moment
  int64_t episode_unix_ns = 0;  // start of the episode that decided
};

class Curriculum {
 public:
  explicit Curriculum(const CurriculumConfig& config) : config_(config) {}

  // Contract: `result` is later than the last one (start time, then hash).
  std::optional<Advance> observe(const EpisodeResult& result);
  // How many packs the store holds up to cursor(): what was not observed came late.
  std::optional<Advance> count_late(uint64_t packs_up_to_cursor);

  Phase phase() const noexcept { return phase_; }
  CurriculumMetrics metrics() const;
  // What has to happen for the next phase, in words; empty in fine_tuning.
  std::vector<std::string> missing() const;
  const std::vector<Advance>& history() const { return history_; }
  // The last observed; absent: none was.
  std::optional<PackKey> cursor() const { return cursor_; }

  // JSON; restored() gives an equal state. Errors: corrupt.
  std::string json() const;
  static Result<Curriculum> restored(const CurriculumConfig& config, std::string_view json);

 private:
  struct Entry {
    int64_t errors_micro = 0, attempts_micro = 0;
    uint32_t skill_attempts = 0, skill_successes = 0;
    bool estimated = false;
  };
  void push(const Entry& entry);
  void push_mpl(int64_t micro);
  std::optional<std::string> reason() const;
  std::optional<Advance> advance(int64_t unix_ns);

  CurriculumConfig config_;
  Phase phase_ = Phase::warmup;
  uint64_t episodes_ = 0, in_phase_ = 0, late_ = 0;
  std::optional<PackKey> cursor_;
  std::deque<Entry> window_;
  Entry sum_;                              // of the window
  uint64_t estimated_ = 0;                 // of the window
  std::deque<int64_t> mpl_;                // micro units per hour, at most two blocks
  int64_t mpl_before_ = 0, mpl_last_ = 0;  // sums of the blocks
  std::vector<Advance> history_;
};

// (start, hash): the order in which episodes are observed.
bool earlier(const PackKey& a, const PackKey& b) noexcept;

// Signals for urgency_driven, from the latest episodes of one task: error rate, and the mean loss of energy
// productivity and of MPL against the baselines. None: all 0.
struct RecentEpisode {
  double errors = 0, attempts = 0;
  double delta_ep = 0, delta_mpl = 0;
};
UrgencySignals urgency_signals(const std::deque<RecentEpisode>& recent, const UrgencyConfig& config);

// Curricula of several tasks in one document.
using CurriculumBook = std::map<std::string, Curriculum, std::less<>>;

// Brings a book up to date in one pass over all packs, each task's in order of start time: what is later than a task's
// cursor is observed, what is not and was unknown is counted as late.
class BookKeeper {
 public:
  BookKeeper(CurriculumBook& book, const CurriculumConfig& config) : book_(&book), config_(config) {}
  void take(const std::string& task, const EpisodeResult& episode);
  void finish();  // after the last

 private:
  CurriculumBook* book_;
  CurriculumConfig config_;
  Curriculum* current_ = nullptr;
  std::string task_;
  std::optional<PackKey> known_;  // the cursor when the pass came to the task
  uint64_t old_ = 0;              // packs up to it
  bool settled_ = true;           // these were compared with what was observed
};

std::string curriculum_book_json(const CurriculumBook& book);
// Errors: corrupt.
Result<CurriculumBook> read_curriculum_book(const CurriculumConfig& config, std::string_view json);

}  // namespace drover::sampling
