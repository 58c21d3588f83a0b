// Buggify: switches by which the testers make the product misbehave on purpose. In every shipped program all are off.
//
// - bug(): a seeded bug, a line that is wrong as a human would get it wrong. `drover stress selftest` switches on one
// at
//   a time and requires that the simulator, the crash proofs or the models find it. Correct code runs while it is off.
// - fire(): something legal but rare happens now (a small block, a late commit, an answer that is lost, a damaged byte
//   on its way). Two levels, after FoundationDB: a site is active in 25 % of runs, and then fires as often as its table
//   says, so that each run is strange in its own way.
//
// The switches are a pointer that only the testers set (stress/sim/armed.hpp); daemons never do, and pay one load of a
// null pointer at each site. Built with -DDROVER_NO_TEST_SWITCHES, both functions are constants and the sites vanish.
// Threads: armed only while everything runs in one thread (simulation, models).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace drover::buggify {

enum class Bug : uint8_t {
  none,
  // the robot's store and what leaves it
  capture_not_atomic,        // records are stored in a transaction of their own, before their chunks
  mark_before_store,         // a source's mark is stored in a transaction of its own, before the records
  mark_after_store,          // the same, after them
  evict_unacked,             // what the centre does not have may go, too
  evict_without_receipt,     // room is made, and nothing says so
  evict_most_valuable,       // the best goes first
  quota_ignored,             // room is never made
  acked_when_sent,           // a chunk counts as central with its first piece
  settled_too_early,         // "wants nothing" is believed for records that were not applied yet
  lost_chunk_not_told,       // a damaged chunk is not journaled as lost
  resume_offset_off_by_one,  // a chunk that was cut off goes on one byte too late
  rewind_forgotten,          // after a lost answer the outbox goes on behind the hole
  // the coordinator's inbox and what becomes of it
  ack_before_sync,            // commits return before they are on disk
  ack_before_commit,          // blocks are acknowledged as they arrive
  ack_off_by_one,             // the watermark that is told is one too high
  overlap_off_by_one,         // the new tail of a block that is known in part begins one record too late
  gap_accepted,               // a block may begin anywhere behind the watermark
  conflict_accepted,          // a record with other content under the same number passes
  incarnation_ignored,        // a new disk goes on in the old one's stream
  old_incarnation_accepted,   // an older disk that comes back is served
  dedup_by_window,            // a repeat is known only for half a minute
  hashes_not_checked,         // blocks are stored without looking at their records' hashes
  chunk_not_checked,          // a chunk is complete when its size is, whatever it holds
  piece_gap_accepted,         // a piece may begin behind what is here
  apply_skips_one,            // a record at the end of a transaction is counted and not applied
  watermark_lost_on_restart,  // a restarted consumer believes that all was applied
  statistics_forgotten,       // a datapack is stored and not counted
  statistics_doubled,         // a datapack that is known already is counted again
  receipt_dropped,            // a receipt stops the asking and is not kept
  want_forgotten,             // a chunk that was cut off is not asked for again
  knowledge_goes_back,        // an older version replaces a newer one
  knowledge_unsigned,         // the signature is not looked at
  // the books
  true_up_unbalanced,          // a true-up makes money, and the ledger does not check
  outcome_posted_twice,        // a true-up is posted again, under another name, when more becomes known
  posting_id_ignores_content,  // the identity of a posting knows its time, kind and accounts only
  reversal_forgotten,          // what counts no more is not posted back
  books_cursor_first,          // how far the books have read is written down before what follows from it
  prediction_not_kept,         // a prediction is no longer pending before it is in the inbox
  // the runtime
  intensity_swallowed,     // a supervisor restarts for ever
  restart_order_reversed,  // rest_for_one restarts those before the child, not after it
  credit_not_returned,     // credit comes back one message short
  inbox_unbounded,         // a credited inbox takes what does not fit
  poison_for_ever,         // a message that kills its receiver is never set aside
  // the source of files
  half_written_taken,  // a file counts as complete when it is first seen
  file_taken_twice,    // a settled file is offered again
  // the testers' own eyes
  audit_blind_to_chunks,   // the audit does not miss chunks
  audit_blind_to_records,  // nor records
  audit_blind_to_effects,  // nor effects of records
  count_
};
inline constexpr size_t bugs = static_cast<size_t>(Bug::count_);

enum class Site : uint8_t {
  env_run_twice,      // a transaction's body runs, is rolled back and runs again
  outbox_one_record,  // a block of one record
  outbox_answer_lost,
  outbox_bad_block,  // one byte is another on its way
  outbox_bad_piece,
  store_growth_untold,   // nobody is told that the journal grew
  store_acks_forgotten,  // acknowledgements are not written down
  inbox_overloaded,
  inbox_commit_late,
  sessions_answer_lost,
  centre_apply_little,  // one block in a transaction
  centre_wants_one,
  centre_wants_nothing,  // for now
  centre_pieces_alone,   // each piece in a transaction of its own
  knowledge_answer_lost,
  count_
};
inline constexpr size_t sites = static_cast<size_t>(Site::count_);

namespace detail {
// How often an active site fires, in 1/1000. Damage is rare: five damaged blocks in a row would rightly halt a robot.
inline constexpr std::array<uint16_t, sites> per_mille{100, 250, 50,  20,  20,  250, 250, 50,
                                                       250, 50,  250, 250, 100, 250, 250};
}  // namespace detail

inline constexpr std::string_view poison_mark = "DROVER-POISON-FOR-TESTS";

struct Switches {
  Bug bug = Bug::none;
  uint64_t bug_reached = 0;  // how often the wrong line ran
  bool sites_on = false;
  std::array<bool, sites> active{};
  std::array<uint64_t, sites> fired{};
  bool poison = false;  // records that hold poison_mark kill who applies them
  uint64_t state = 1;   // of the generator: splitmix64

  uint64_t next() noexcept {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
};

#ifdef DROVER_NO_TEST_SWITCHES
constexpr bool bug(Bug) noexcept {
  return false;
}
constexpr bool fire(Site) noexcept {
  return false;
}
constexpr bool poisonous(std::string_view) noexcept {
  return false;
}
#else
namespace detail {
inline constinit std::atomic<Switches*> armed{nullptr};
}

// True while a tester has switched this bug on.
inline bool bug(Bug which) noexcept {
  Switches* s = detail::armed.load(std::memory_order_relaxed);
  if (s == nullptr || s->bug != which) [[likely]]
    return false;
  ++s->bug_reached;
  return true;
}

// True when the rare thing is to happen here and now.
inline bool fire(Site site) noexcept {
  Switches* s = detail::armed.load(std::memory_order_relaxed);
  if (s == nullptr || !s->sites_on || !s->active[static_cast<size_t>(site)]) [[likely]]
    return false;
  if (s->next() % 1000 >= detail::per_mille[static_cast<size_t>(site)]) return false;
  ++s->fired[static_cast<size_t>(site)];
  return true;
}

// True when a tester wants the handling of these bytes to end with an exception.
inline bool poisonous(std::string_view bytes) noexcept {
  const Switches* s = detail::armed.load(std::memory_order_relaxed);
  return s != nullptr && s->poison && bytes.find(poison_mark) != std::string_view::npos;
}
#endif

}  // namespace drover::buggify
