// CrashStory: a small fleet from the first capture to the last eviction, whose every write, sync, durable write and
// send has a number; the power of the node that makes step `crash_at` goes at that step.
//
// What was not synced at that moment is lost as the plan says; the node comes back, what its disk kept is audited
// before anything runs on it, and the run goes on to its end. In a quarter of the runs the power goes a second time,
// some steps after the first return. Without a crash the run counts its steps. The same plan gives the same run.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "messages/buggify.hpp"
#include "stress/sim/faulty_disk.hpp"

namespace drover::simulate {

// Where on its way a record or chunk is.
enum class Stage : uint8_t {
  capture,  // the robot's store takes an episode
  evict,    // the same, and older chunks go to make room
  upload,   // robot to centre
  inbox,    // the centre's journal of journals
  central,  // effects of records, chunks
  books,    // predictions, reconciliations, the ledger
  answer,   // centre to robot: acknowledgements among them
  mark,     // the robot writes down what was acknowledged
  count_
};
inline constexpr size_t stages = static_cast<size_t>(Stage::count_);
std::string_view stage_name(Stage stage) noexcept;

enum class StepKind : uint8_t { write, sync, commit, send, count_ };
inline constexpr size_t step_kinds = static_cast<size_t>(StepKind::count_);
std::string_view step_kind_name(StepKind kind) noexcept;

struct CrashPlan {
  uint64_t seed = 1;
  uint64_t crash_at = 0;  // step, from 1; 0: none
  Loss loss = Loss::dropped;
  buggify::Bug bug = buggify::Bug::none;
};

struct CrashResult {
  std::string failure;         // empty: everything held
  std::vector<uint8_t> steps;  // without a crash: stage * step_kinds + kind of every step
  Stage stage = Stage::capture;
  StepKind kind = StepKind::write;
  uint64_t crashes = 0;
  uint64_t unsynced = 0;  // writes that were not synced when the power went
  uint64_t records = 0;   // central in the end
  uint64_t episodes = 0;
  uint64_t evictions = 0;  // each with its receipt
  uint64_t postings = 0;   // in the ledger in the end
  uint64_t trace = 0;
};

// Works in a folder of its own under `folder`, which it removes.
CrashResult play_crash(const CrashPlan& plan, const std::string& folder);

}  // namespace drover::simulate
