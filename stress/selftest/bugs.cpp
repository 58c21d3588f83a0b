#include "stress/selftest/bugs.hpp"

#include <array>

#include "actors/runtime/rng.hpp"
#include "stress/selftest/models.hpp"
#include "stress/sim/armed.hpp"
#include "stress/sim/story.hpp"
#include "stress/steps/crash_story.hpp"

namespace drover::simulate {
namespace {

constexpr std::array<std::string_view, 6> names{"sim", "steps", "stores", "runtime", "spool", "audit"};

HuntResult hunt_sim(buggify::Bug bug, uint64_t seed, const std::string& folder) {
  StoryPlan plan;
  plan.seed = seed;
  plan.bug = bug;
  plan.faults.duration_ms = 180'000;
  plan.faults.per_robot_hour = 240;
  plan.audits = 12;
  plan.drain_ms_max = 180'000;
  plan.twin = false;  // what the checkers find, without a sound run beside it
  plan.episodes_per_robot_hour = 240;
  const StoryResult result = play(plan, draw_faults(seed, plan.faults), folder);
  return {result.failure, result.bug_reached};
}

HuntResult hunt_steps(buggify::Bug bug, uint64_t seed, const std::string& folder) {
  auto rng = runtime::Rng::stream(seed, "steps");
  CrashPlan plan;
  plan.seed = 1 + seed % 16;
  plan.bug = bug;
  plan.crash_at = 1 + rng.below(1500);
  plan.loss = static_cast<Loss>(rng.below(losses));
  const CrashResult result = play_crash(plan, folder);
  if (result.failure.find("never reached") != std::string::npos) return {};  // the run was shorter
  return {result.failure, 1};
}

}  // namespace

std::string_view hunt_name(Hunt hunt) noexcept {
  return names[static_cast<size_t>(hunt)];
}

const std::vector<SeededBug>& seeded_bugs() {
  using enum buggify::Bug;
  static const std::vector<SeededBug> all{
      {capture_not_atomic, "capture-not-atomic", Hunt::steps, "records commit before their chunks"},
      {mark_before_store, "mark-before-store", Hunt::steps, "a source's mark commits before its records"},
      {mark_after_store, "mark-after-store", Hunt::steps, "a source's mark commits after its records"},
      {evict_unacked, "evict-unacked", Hunt::sim, "what the centre lacks may go, too"},
      {evict_without_receipt, "evict-without-receipt", Hunt::sim, "room is made and nothing says so"},
      {evict_most_valuable, "evict-most-valuable", Hunt::sim, "the best goes first"},
      {quota_ignored, "quota-ignored", Hunt::sim, "room is never made"},
      {acked_when_sent, "acked-when-sent", Hunt::sim, "a chunk counts as central with its first piece"},
      {settled_too_early, "settled-too-early", Hunt::sim, "'wants nothing' is believed for unapplied records"},
      {lost_chunk_not_told, "lost-chunk-not-told", Hunt::stores, "a damaged chunk is not reported"},
      {resume_offset_off_by_one, "resume-offset-off-by-one", Hunt::sim, "a chunk goes on one byte too late"},
      {rewind_forgotten, "rewind-forgotten", Hunt::sim, "after a lost answer the outbox goes on behind the hole"},
      {ack_before_sync, "ack-before-sync", Hunt::steps, "commits return before they are on disk"},
      {ack_before_commit, "ack-before-commit", Hunt::sim, "blocks are acknowledged as they arrive"},
      {ack_off_by_one, "ack-off-by-one", Hunt::sim, "the watermark that is told is one too high"},
      {overlap_off_by_one, "overlap-off-by-one", Hunt::sim, "the new tail of a known block begins too late"},
      {gap_accepted, "gap-accepted", Hunt::stores, "a block may begin behind a hole"},
      {conflict_accepted, "conflict-accepted", Hunt::stores, "other content under a known number passes"},
      {incarnation_ignored, "incarnation-ignored", Hunt::stores, "a new disk goes on in the old one's stream"},
      {old_incarnation_accepted, "old-incarnation-accepted", Hunt::stores, "an older disk is served"},
      {dedup_by_window, "dedup-by-window", Hunt::sim, "a repeat is known only for half a minute"},
      {hashes_not_checked, "hashes-not-checked", Hunt::sim, "blocks are stored without looking at their hashes"},
      {chunk_not_checked, "chunk-not-checked", Hunt::sim, "a chunk is complete when its size is"},
      {piece_gap_accepted, "piece-gap-accepted", Hunt::stores, "a piece may begin behind what is here"},
      {apply_skips_one, "apply-skips-one", Hunt::sim, "a record is counted as applied and was not"},
      {watermark_lost_on_restart, "watermark-lost-on-restart", Hunt::sim, "a restarted consumer skips what waits"},
      {statistics_forgotten, "statistics-forgotten", Hunt::sim, "a datapack is stored and not counted"},
      {statistics_doubled, "statistics-doubled", Hunt::stores, "a known datapack is counted again"},
      {receipt_dropped, "receipt-dropped", Hunt::sim, "a receipt is not kept"},
      {want_forgotten, "want-forgotten", Hunt::sim, "a chunk that was cut off is not asked for again"},
      {knowledge_goes_back, "knowledge-goes-back", Hunt::stores, "an older version replaces a newer one"},
      {knowledge_unsigned, "knowledge-unsigned", Hunt::stores, "the signature is not looked at"},
      {true_up_unbalanced, "true-up-unbalanced", Hunt::sim, "a true-up makes money, and the ledger does not check"},
      {outcome_posted_twice, "outcome-posted-twice", Hunt::sim, "a true-up is posted again when more is known"},
      {posting_id_ignores_content, "posting-id-ignores-content", Hunt::sim, "other amounts count as the same posting"},
      {reversal_forgotten, "reversal-forgotten", Hunt::sim, "what counts no more is not posted back"},
      {books_cursor_first, "books-cursor-first", Hunt::steps, "books note what they read before what follows"},
      {prediction_not_kept, "prediction-not-kept", Hunt::steps, "a prediction is not pending until it is stored"},
      {intensity_swallowed, "intensity-swallowed", Hunt::runtime, "a supervisor restarts for ever"},
      {restart_order_reversed, "restart-order-reversed", Hunt::runtime, "rest_for_one restarts those before"},
      {credit_not_returned, "credit-not-returned", Hunt::runtime, "credit comes back one message short"},
      {inbox_unbounded, "inbox-unbounded", Hunt::runtime, "an inbox takes what does not fit"},
      {poison_for_ever, "poison-for-ever", Hunt::runtime, "a killing message is never set aside"},
      {half_written_taken, "half-written-taken", Hunt::spool, "a file counts as complete at first sight"},
      {file_taken_twice, "file-taken-twice", Hunt::spool, "a settled file is offered again"},
      {audit_blind_to_chunks, "audit-blind-to-chunks", Hunt::audit, "the audit does not miss chunks"},
      {audit_blind_to_records, "audit-blind-to-records", Hunt::audit, "nor records"},
      {audit_blind_to_effects, "audit-blind-to-effects", Hunt::audit, "nor effects of records"},
  };
  return all;
}

HuntResult hunt(Hunt which, buggify::Bug bug, uint64_t seed, const std::string& folder) {
  if (which == Hunt::sim) return hunt_sim(bug, seed, folder);
  if (which == Hunt::steps) return hunt_steps(bug, seed, folder);
  const Armed armed({.seed = seed, .bug = bug});
  HuntResult result;
  if (which == Hunt::stores) result.found = check_stores(seed, folder);
  if (which == Hunt::runtime) result.found = check_runtime(seed);
  if (which == Hunt::spool) result.found = check_spool(seed);
  if (which == Hunt::audit) result.found = check_audit(seed, folder);
  result.bug_reached = armed.switches().bug_reached;
  return result;
}

}  // namespace drover::simulate
