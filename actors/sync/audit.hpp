// Audit: proves the conservation of records and chunks over the stores of a coordinator and its robots.
//
// At every moment each captured record is in exactly one state: in a robot's journal only (stored or in flight), or
// central; each chunk that an episode refers to is at its robot, at the centre, or named by a receipt. The audit reads
// the stores as they are, beside the daemons that write them, and lists every violation with where it is.
//
// No false alarms beside live daemons, by the order of reading: (1) each robot in one snapshot, (2) the central
// tables in one snapshot, (3) the inbox, (4) each robot's last sequence number again. A robot learns that
// something is central only after it is, and the centre applies only what the inbox holds, so acked(1) <= durable(3),
// applied(2) <= durable(3), chunks that a robot acknowledged or evicted by (1) are central by (2), and
// durable(3) <= last(4). Records never change once they have a number, so comparing them can take its time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/sync/central_store.hpp"
#include "messages/result.hpp"
#include "storage/env.hpp"

namespace drover::sync {

// What a source's mark claims about the journal beside it.
struct SourceClaim {
  std::string name;        // of the file, as episodes name their source
  uint64_t episodes = 0;   // captured of it so far
  bool finished = false;   // it is settled: nothing more will come of it
  bool set_aside = false;  // finished without capturing all of it
};
// Reads a mark; nothing when it is not one of a source.
using ClaimReader = std::function<std::optional<SourceClaim>(std::string_view key, std::string_view value)>;

struct AuditOptions {
  bool content = true;       // read every chunk and hash it again
  bool verify_packs = true;  // compare every index row and statistic of the datapacks with the packs
  ClaimReader read_claim;    // empty: marks are not looked at
  // Called now and then with what is being looked at and how far it got.
  std::function<void(const std::string& stage, uint64_t done, uint64_t total)> progress;
};

struct Violation {
  std::string check;  // journal | watermark | records | applied | stores | chunks | sources
  std::string where;  // robot, record, chunk or file
  std::string what;
};

// One stream: a robot under one incarnation.
struct StreamAudit {
  std::string robot;
  uint64_t incarnation = 0;
  uint64_t rank = 0;         // 0: the centre has not heard of it
  bool store_given = false;  // its robot's store took part in the audit
  uint64_t captured = 0;     // records ever journaled (as far as is known)
  uint64_t acked = 0;        // that the robot knows to be central
  uint64_t in_flight = 0;    // captured, not central
  uint64_t central = 0;      // in the inbox
  uint64_t applied = 0;      // their effects are in the stores
  uint64_t rejected = 0;     // of the applied: kept aside with a reason
  uint64_t episodes = 0;     // records of captured
  uint64_t packs = 0;
  uint64_t events = 0;
  uint64_t receipts = 0;
  uint64_t other = 0;
  uint64_t chunks = 0;          // different ones that its episodes refer to
  uint64_t chunks_robot = 0;    // of those: only at the robot
  uint64_t chunks_central = 0;  // at the centre
  uint64_t chunks_lost = 0;     // at neither, a receipt says why
  uint64_t chunks_unknown = 0;  // not at the centre, and the robot's store was not given
  uint64_t chunks_refused = 0;  // at neither; only records that were rejected refer to them
  uint64_t chunks_evicted = 0;  // no longer at the robot, a receipt says so
  uint64_t sources = 0;         // files with a mark
  uint64_t sources_done = 0;
};

struct CentreAudit {
  uint64_t records = 0;
  uint64_t episodes = 0;
  uint64_t packs = 0;
  uint64_t packs_imported = 0;  // of those: of no robot that streams here
  uint64_t events = 0;
  uint64_t receipts = 0;
  uint64_t enrichments = 0;
  uint64_t outcomes = 0;
  uint64_t rejected = 0;
  uint64_t chunks = 0;
  uint64_t chunk_bytes = 0;
  uint64_t chunks_wanted = 0;
};

struct Audit {
  std::vector<StreamAudit> streams;  // by robot, then rank
  CentreAudit centre;
  std::vector<Violation> violations;  // the first violations_max
  uint64_t violations_in_all = 0;
  std::vector<std::string> notices;  // what an operator should know and what breaks no promise
  bool balanced() const { return violations_in_all == 0; }
};

inline constexpr size_t violations_max = 1000;

struct RobotToAudit {
  std::string label;  // for messages: its folder
  const storage::Env* env = nullptr;
};

// Audits open stores. Errors: a store that cannot be read at all; damage inside one is a violation.
Result<Audit> audit(const CentralStore& centre, const std::vector<RobotToAudit>& robots, const AuditOptions& options);

// The same over folders, opened read only beside whatever runs.
struct AuditFolders {
  std::string centre;
  std::vector<std::string> robots;
};
struct AuditStores {
  std::unique_ptr<CentralStore> centre;
  std::vector<storage::Env> robots;  // in the order of the folders
};
Result<AuditStores> open_for_audit(const AuditFolders& folders);
Result<Audit> audit_folders(const AuditFolders& folders, const AuditOptions& options);

}  // namespace drover::sync
