#include "actors/sync/audit.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "actors/sync/audit_walk.hpp"
#include "actors/sync/robot_store.hpp"
#include "messages/buggify.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "storage/keys.hpp"

namespace drover::sync {
namespace {

using storage::Key;
using storage::ReadTxn;

constexpr uint64_t progress_every = 4096;  // records or chunks

struct ChunkUse {
  bool of_accepted = false;  // an episode that was not rejected refers to it
  bool of_applied = false;   // such an episode whose effects are in the stores
};

// What one robot's store said at one moment.
struct RobotSnapshot {
  std::string label;
  const storage::Env* env = nullptr;
  std::optional<storage::Journal> journal;
  storage::JournalFacts facts;
  std::map<Hash, bool> chunks;  // held: acknowledged?
  std::vector<SourceClaim> claims;
  bool matched = false;  // its stream is known to the centre
  const std::string& robot() const { return journal->identity().robot; }
};

// What is learnt on the walk along one stream.
struct StreamWalk {
  StreamAudit* row = nullptr;
  RobotSnapshot* at_robot = nullptr;  // null: its store was not given, or is of another incarnation
  std::map<Hash, ChunkUse> uses;
  std::map<Hash, Receipt> receipts;             // the first of each chunk
  std::map<std::string, uint64_t> episodes_of;  // source name -> episodes and failures to make one
  std::set<std::string> episode_ids;
  uint64_t not_valued = 0;
};

std::string record_name(const std::string& robot, uint64_t seq) {
  return robot + " seq " + std::to_string(seq);
}

class Auditor {
 public:
  Auditor(const CentralStore& centre, const AuditOptions& options) : centre_(centre), options_(options) {}

  Result<Audit> run(const std::vector<RobotToAudit>& robots) {
    for (const RobotToAudit& robot : robots) DROVER_TRY(snapshot(robot));
    DROVER_TRY(centre_.central_env().read([this](const ReadTxn& txn) { return central(txn); }));
    for (RobotSnapshot& robot : robots_) DROVER_TRY(look_again(robot));
    std::sort(out_.streams.begin(), out_.streams.end(), [](const StreamAudit& a, const StreamAudit& b) {
      return std::tie(a.robot, a.rank, a.incarnation) < std::tie(b.robot, b.rank, b.incarnation);
    });
    return std::move(out_);
  }

 private:
  // Eyes that a seeded bug has shut.
  static bool blind(std::string_view check) {
    if (check == "chunks") return buggify::bug(buggify::Bug::audit_blind_to_chunks);
    if (check == "applied" || check == "stores") return buggify::bug(buggify::Bug::audit_blind_to_effects);
    return buggify::bug(buggify::Bug::audit_blind_to_records);
  }
  void violation(const char* check, std::string where, std::string what) {
    if (blind(check)) return;
    if (++out_.violations_in_all <= violations_max)
      out_.violations.push_back({check, std::move(where), std::move(what)});
  }
  void progress(const std::string& stage, uint64_t done, uint64_t total) const {
    if (options_.progress && (done % progress_every == 0 || done == total)) options_.progress(stage, done, total);
  }

  // ---- (1) robots
  Status snapshot(const RobotToAudit& given) {
    RobotSnapshot robot;
    robot.label = given.label;
    robot.env = given.env;
    DROVER_ASSIGN(robot.journal, storage::Journal::open_existing(*given.env));
    for (const RobotSnapshot& other : robots_)
      if (other.journal->identity() == robot.journal->identity())
        return fail(Errc::invalid_argument, given.label, "is the same store as " + other.label);
    const auto blobs = storage::Blobs::open(*given.env);
    const auto marks = storage::Marks::open(*given.env);
    DROVER_TRY(given.env->read([&](const ReadTxn& txn) -> Status {
      DROVER_ASSIGN(robot.facts, robot.journal->facts_in(txn));
      DROVER_TRY(blobs.each_held_in(txn, [&](const Hash& hash, const storage::ChunkFacts& facts) -> Status {
        robot.chunks.emplace(hash, facts.acked);
        return {};
      }));
      if (!options_.read_claim) return {};
      DROVER_ASSIGN(const auto all, marks.list_in(txn, ""));
      for (const auto& [key, value] : all)
        if (auto claim = options_.read_claim(key, value)) robot.claims.push_back(std::move(*claim));
      return {};
    }));
    const auto& f = robot.facts;
    if (f.acked_seq > f.last_seq)
      violation(
          "watermark", robot.robot(),
          "acknowledged up to " + std::to_string(f.acked_seq) + ", journaled only to " + std::to_string(f.last_seq));
    robots_.push_back(std::move(robot));
    return {};
  }

  // ---- (4) robots again
  Status look_again(RobotSnapshot& robot) {
    DROVER_ASSIGN(const auto now, robot.journal->facts(*robot.env));
    for (const StreamAudit& row : out_.streams) {
      if (row.robot != robot.robot() || row.incarnation != robot.journal->identity().incarnation) continue;
      if (row.central > now.last_seq)
        violation("watermark", row.robot,
                  "the centre holds " + std::to_string(row.central) + " records, the robot's journal ends at " +
                      std::to_string(now.last_seq) + ": its store was restored from an old copy");
    }
    return {};
  }

  // ---- (2) and (3) the centre
  Status central(const ReadTxn& txn) {
    const auto& inbox = centre_.inbox();
    std::map<StreamId, uint64_t> applied;  // of this snapshot, before the inbox is looked at
    DROVER_TRY(centre_.progress().watermarks_in(
        txn, [&](std::string_view consumer, std::string_view robot, uint64_t incarnation, uint64_t seq) -> Status {
          if (consumer == apply_consumer) applied[{std::string(robot), incarnation}] = seq;
          return {};
        }));
    DROVER_TRY(read_rejected(txn));
    DROVER_ASSIGN(const auto streams, centre_.inbox_env().read([&](const ReadTxn& t) { return inbox.streams_in(t); }));
    DROVER_ASSIGN(const auto quarantined,
                  centre_.inbox_env().read([&](const ReadTxn& t) { return inbox.quarantine_list_in(t); }));
    for (const auto& q : quarantined) out_.notices.push_back("robot " + q.robot + " is quarantined: " + q.reason);
    for (const auto& stream : streams) stream_robots_.insert(stream.robot);
    for (const auto& stream : streams) {
      const uint64_t applied_seq = applied[{stream.robot, stream.incarnation}];
      applied.erase({stream.robot, stream.incarnation});
      DROVER_TRY(one_stream(txn, stream, applied_seq));
    }
    for (const auto& [id, seq] : applied)
      if (seq > 0) violation("watermark", id.robot, "records were applied of a stream that the inbox does not hold");
    for (RobotSnapshot& robot : robots_)
      if (!robot.matched) DROVER_TRY(one_stream(txn, unknown_stream(robot), 0));
    return stores(txn);
  }

  static storage::StreamFacts unknown_stream(const RobotSnapshot& robot) {
    storage::StreamFacts stream;
    stream.robot = robot.robot();
    stream.incarnation = robot.journal->identity().incarnation;
    return stream;
  }

  Status read_rejected(const ReadTxn& txn) {
    DROVER_ASSIGN(const auto rejected, centre_.episodes().rejected(txn, UINT32_MAX));
    for (const auto& one : rejected) {
      rejected_.insert({{one.origin.robot, one.origin.incarnation}, one.origin.seq});
      if (out_.notices.size() < violations_max)
        out_.notices.push_back("rejected: " + record_name(one.origin.robot, one.origin.seq) + " (" +
                               std::string(record_kind_name(one.kind)) + "): " + one.reason);
    }
    return {};
  }

  Status one_stream(const ReadTxn& txn, const storage::StreamFacts& stream, uint64_t applied_seq) {
    StreamAudit row;
    row.robot = stream.robot;
    row.incarnation = stream.incarnation;
    row.rank = stream.rank;
    row.central = stream.durable_seq;
    row.applied = applied_seq;
    StreamWalk walk;
    walk.row = &row;
    for (RobotSnapshot& robot : robots_)
      if (robot.journal->identity() == storage::JournalIdentity{stream.robot, stream.incarnation})
        walk.at_robot = &robot;
    row.store_given = walk.at_robot != nullptr;
    row.captured = walk.at_robot ? std::max(walk.at_robot->facts.last_seq, row.central) : row.central;
    row.acked = walk.at_robot ? walk.at_robot->facts.acked_seq : row.central;
    row.in_flight = row.captured - row.central;
    if (walk.at_robot) walk.at_robot->matched = true;
    watermarks(walk);
    DROVER_TRY(records(txn, walk));
    if (walk.at_robot) sources(walk);
    DROVER_TRY(chunks(txn, walk));
    out_.streams.push_back(std::move(row));
    return {};
  }

  void watermarks(const StreamWalk& walk) {
    const StreamAudit& row = *walk.row;
    if (row.applied > row.central)
      violation(
          "watermark", row.robot,
          "applied up to " + std::to_string(row.applied) + ", the inbox holds only " + std::to_string(row.central));
    if (!walk.at_robot) return;
    if (row.acked > row.central)
      violation("watermark", row.robot,
                "the robot was told that " + std::to_string(row.acked) + " records are central, the inbox holds " +
                    std::to_string(row.central));
    const auto& f = walk.at_robot->facts;
    if (f.last_seq > 0 && f.first_seq > row.central + 1)
      violation("records", row.robot,
                "records " + std::to_string(row.central + 1) + ".." + std::to_string(f.first_seq - 1) +
                    " are neither in the journal nor at the centre");
  }

  // Journal and inbox side by side, from the first record to the last.
  Status records(const ReadTxn& txn, StreamWalk& walk) {
    const StreamAudit& row = *walk.row;
    RecordWalk inbox = walk_inbox(centre_.inbox_env(), centre_.inbox(), row.robot, row.incarnation);
    std::optional<RecordWalk> journal;
    uint64_t first_here = UINT64_MAX, last_here = 0;
    if (walk.at_robot && walk.at_robot->facts.last_seq > 0) {
      journal.emplace(walk_journal(*walk.at_robot->env, *walk.at_robot->journal));
      first_here = walk.at_robot->facts.first_seq;
      last_here = walk.at_robot->facts.last_seq;
    }
    for (uint64_t seq = 1; seq <= row.captured; ++seq) {
      progress(row.robot, seq, row.captured);
      const bool central = seq <= row.central;
      const bool here = journal && seq >= first_here && seq <= last_here;
      std::optional<RecordView> theirs, ours;
      if (central && !fetch(inbox, "inbox", row.robot, seq, theirs)) return {};
      // A block that the robot dropped since (it is central by then) is no loss.
      if (here && !fetch(*journal, "journal", row.robot, seq, ours, seq <= row.acked)) {
        journal.reset();
        ours.reset();
      }
      if (theirs && ours && theirs->hash != ours->hash)
        violation("records", record_name(row.robot, seq), "the journal and the inbox hold different records");
      if (theirs || ours) DROVER_TRY(note(txn, walk, theirs ? *theirs : *ours));
    }
    return {};
  }

  // False: the walk cannot go on.
  bool fetch(RecordWalk& walk, const char* check, const std::string& robot, uint64_t seq,
             std::optional<RecordView>& found, bool may_be_gone = false) {
    auto record = walk.at(seq);
    if (!record) {
      if (may_be_gone && record.error().code == Errc::gap) return false;
      violation(check, record_name(robot, seq), record.error().message());
      return false;
    }
    found = *record;
    if (found) {
      if (found->seq == seq) return true;
      violation(check, record_name(robot, seq), "holds record " + std::to_string(found->seq) + " in its place");
      return false;
    }
    if (!may_be_gone) violation(check, record_name(robot, seq), "is missing");
    return may_be_gone;
  }

  // Counts a record, remembers what it refers to, and looks for its effects when it was applied.
  Status note(const ReadTxn& txn, StreamWalk& walk, const RecordView& record) {
    StreamAudit& row = *walk.row;
    const bool applied = record.seq <= row.applied;
    const bool rejected = rejected_.count({{row.robot, row.incarnation}, record.seq}) > 0;
    if (rejected && !applied)
      violation("applied", record_name(row.robot, record.seq), "was rejected above the watermark");
    if (applied && rejected) {
      ++row.rejected;
      ++expected_.rejected;
    }
    const bool effects = applied && !rejected;
    switch (record.kind) {
      case RecordKind::episode:
        ++row.episodes;
        return note_episode(txn, walk, record, effects, rejected);
      case RecordKind::datapack:
        ++row.packs;
        return effects ? note_pack(txn, walk, record) : Status{};
      case RecordKind::event:
        ++row.events;
        return note_event(txn, walk, record, effects);
      case RecordKind::receipt:
        ++row.receipts;
        return note_receipt(txn, walk, record, effects);
      case RecordKind::enrichment:
        ++row.other;
        return effects ? note_named(txn, walk, record, "enrichments") : Status{};
      case RecordKind::outcome:
        ++row.other;
        return effects ? note_named(txn, walk, record, "outcomes") : Status{};
    }
    ++row.other;
    if (effects) violation("applied", record_name(row.robot, record.seq), "is of a kind that cannot be applied");
    return {};
  }

  Status expect_row(const ReadTxn& txn, const char* table, ByteView key, const RecordView& record,
                    const StreamAudit& row) {
    DROVER_ASSIGN(const auto stored, txn.get(centre_.central_env().db(table), key));
    if (!stored)
      violation("applied", record_name(row.robot, record.seq),
                "was applied and is not in the table '" + std::string(table) + "'");
    else if (!std::ranges::equal(*stored, record.payload))
      violation("applied", record_name(row.robot, record.seq),
                "is stored in the table '" + std::string(table) + "' with other content");
    return {};
  }

  Status note_episode(const ReadTxn& txn, StreamWalk& walk, const RecordView& record, bool effects, bool rejected) {
    StreamAudit& row = *walk.row;
    auto episode = decode_episode(record.payload);
    if (!episode) {
      if (effects) violation("applied", record_name(row.robot, record.seq), episode.error().message());
      return {};
    }
    ++walk.episodes_of[episode->source_name];
    if (!walk.episode_ids.insert(episode->episode_id).second)
      violation("sources", record_name(row.robot, record.seq),
                "episode " + episode->episode_id + " was captured twice");
    // Chunks of records that came after the robot was looked at are not known yet.
    if (!walk.at_robot || record.seq <= walk.at_robot->facts.last_seq)
      for (const BlobRef& blob : episode->blobs)
        for (const ChunkRef& chunk : blob.chunks) {
          ChunkUse& use = walk.uses[chunk.hash];
          use.of_accepted |= !rejected;
          use.of_applied |= effects;
        }
    if (!effects) return {};
    if (expected_episodes_.insert({row.robot, episode->episode_id}).second) ++expected_.episodes;
    const Key key = Key().text(row.robot).text(episode->episode_id);
    DROVER_TRY(expect_row(txn, "episodes", key, record, row));
    DROVER_ASSIGN(const auto listed,
                  txn.get(centre_.central_env().db("episodes_by_time"),
                          Key().i64(episode->start_unix_ns).text(row.robot).text(episode->episode_id)));
    if (!listed) violation("stores", record_name(row.robot, record.seq), "its episode is not in the index by time");
    return {};
  }

  Status note_pack(const ReadTxn& txn, const StreamWalk& walk, const RecordView& record) {
    const StreamAudit& row = *walk.row;
    auto pack = decode_datapack(record.payload);
    if (!pack) {
      violation("applied", record_name(row.robot, record.seq), pack.error().message());
      return {};
    }
    if (expected_packs_.insert(sha256(as_bytes(pack->pack_id))).second) ++expected_.packs;
    DROVER_ASSIGN(const auto stored, centre_.packs().get_flat(txn, pack->pack_id));
    if (!stored)
      violation("applied", record_name(row.robot, record.seq), "datapack " + pack->pack_id + " is not in the store");
    else if (!std::ranges::equal(*stored, record.payload))
      violation("applied", record_name(row.robot, record.seq),
                "datapack " + pack->pack_id + " is stored with other content");
    return {};
  }

  Status note_event(const ReadTxn& txn, StreamWalk& walk, const RecordView& record, bool effects) {
    const StreamAudit& row = *walk.row;
    if (const auto event = decode_event(record.payload); event && event->kind == "episode_not_valued")
      ++walk.not_valued;
    if (!effects) return {};
    ++expected_.events;
    return expect_row(txn, "node_events", Key().text(row.robot).u64(row.incarnation).u64(record.seq), record, row);
  }

  Status note_receipt(const ReadTxn& txn, StreamWalk& walk, const RecordView& record, bool effects) {
    const StreamAudit& row = *walk.row;
    auto receipt = decode_receipt(record.payload);
    if (!receipt) {
      if (effects) violation("applied", record_name(row.robot, record.seq), receipt.error().message());
      return {};
    }
    const bool lost = receipt->reason.starts_with("lost");
    if (!lost && !receipt->acknowledged)
      violation("chunks", record_name(row.robot, record.seq),
                "chunk " + to_hex(receipt->hash) + " was evicted before the centre acknowledged it");
    const Key key = Key().raw(receipt->hash).text(row.robot).u64(row.incarnation).u64(record.seq);
    if (!walk.at_robot || record.seq <= walk.at_robot->facts.last_seq)
      walk.receipts.insert_or_assign(receipt->hash, std::move(*receipt));
    if (!effects) return {};
    ++expected_.receipts;
    return expect_row(txn, "receipts", key, record, row);
  }

  Status note_named(const ReadTxn& txn, const StreamWalk& walk, const RecordView& record, const char* table) {
    const StreamAudit& row = *walk.row;
    std::string pack_id;
    if (record.kind == RecordKind::enrichment) {
      ++expected_.enrichments;
      if (const auto value = decode_enrichment(record.payload)) pack_id = value->pack_id;
    } else {
      ++expected_.outcomes;
      if (const auto value = decode_outcome(record.payload)) pack_id = value->pack_id;
    }
    return expect_row(txn, table, Key().text(pack_id).text(row.robot).u64(row.incarnation).u64(record.seq), record,
                      row);
  }

  // ---- chunks of one stream
  Status chunks(const ReadTxn& txn, StreamWalk& walk) {
    StreamAudit& row = *walk.row;
    row.chunks = walk.uses.size();
    for (const auto& [hash, use] : walk.uses) DROVER_TRY(one_chunk(txn, walk, hash, use));
    if (!walk.at_robot) return {};
    uint64_t done = 0;
    for (const auto& [hash, acked] : walk.at_robot->chunks) {
      progress(row.robot + " chunks", ++done, walk.at_robot->chunks.size());
      if (acked) DROVER_TRY(acked_chunk(txn, walk, hash));
      if (options_.content) DROVER_TRY(robot_content(walk, hash));
    }
    return {};
  }

  static bool lost(const StreamWalk& walk, const Hash& hash) {
    const auto receipt = walk.receipts.find(hash);
    return receipt != walk.receipts.end() && receipt->second.reason.starts_with("lost");
  }

  // The same said under another incarnation: a re-imaged robot is asked for what its old disk held and has to pass.
  Result<bool> lost_with_old_disk(const ReadTxn& txn, const std::string& robot, const Hash& hash) const {
    bool found = false;
    DROVER_TRY(txn.for_each(centre_.central_env().db("receipts"), Key().raw(hash).text(robot),
                            [&](ByteView, ByteView value) -> Result<bool> {
                              const auto receipt = decode_receipt(value);
                              found = receipt && receipt->reason.starts_with("lost");
                              return !found;
                            }));
    return found;
  }

  Status one_chunk(const ReadTxn& txn, StreamWalk& walk, const Hash& hash, const ChunkUse& use) {
    StreamAudit& row = *walk.row;
    DROVER_ASSIGN(const auto facts, centre_.blobs().facts_in(txn, hash));
    const bool central = facts && facts->held;
    bool gone = lost(walk, hash);
    if (!central && !gone) {
      DROVER_ASSIGN(gone, lost_with_old_disk(txn, row.robot, hash));
    }
    const bool here = walk.at_robot && walk.at_robot->chunks.count(hash) > 0;
    const bool told = walk.receipts.count(hash) > 0;
    if (walk.at_robot && !here && told) ++row.chunks_evicted;
    if (central)
      ++row.chunks_central;
    else if (gone)
      ++row.chunks_lost;
    else if (here)
      ++row.chunks_robot;
    else if (!use.of_accepted && told)
      ++row.chunks_refused;
    else if (!walk.at_robot)
      ++row.chunks_unknown;
    else
      violation("chunks", row.robot + " chunk " + to_hex(hash),
                told
                    ? "was evicted and is not at the centre"
                    : "an episode refers to it; it is neither at the robot nor at the centre, and no receipt says why");
    if (walk.at_robot && !here && !told)
      if (central) violation("chunks", row.robot + " chunk " + to_hex(hash), "left the robot without a receipt");
    const bool asked = central || gone || !use.of_applied ||
                       (facts && (facts->wanted_of.size() >= storage::chunk_robots_max ||
                                  std::ranges::count(facts->wanted_of, row.robot) > 0));
    if (!asked && !told)
      violation("chunks", row.robot + " chunk " + to_hex(hash), "the centre lacks it and never asks");
    return {};
  }

  // What a robot may evict must be safe elsewhere.
  Status acked_chunk(const ReadTxn& txn, const StreamWalk& walk, const Hash& hash) {
    DROVER_ASSIGN(const bool central, centre_.blobs().has_in(txn, hash));
    if (central || lost(walk, hash)) return {};
    const auto use = walk.uses.find(hash);
    if (use == walk.uses.end() || !use->second.of_accepted) return {};  // nobody misses it
    violation("chunks", walk.row->robot + " chunk " + to_hex(hash),
              "the robot was told that the centre has it, and it has not");
    return {};
  }

  Status robot_content(const StreamWalk& walk, const Hash& hash) {
    const auto blobs = storage::Blobs::open(*walk.at_robot->env);
    const auto bytes = walk.at_robot->env->read([&](const ReadTxn& txn) { return blobs.get_in(txn, hash); });
    const bool gone = !bytes && bytes.error().code == Errc::not_found;  // evicted meanwhile
    if (gone || (bytes && sha256(*bytes) == hash)) return {};
    const std::string where = walk.row->robot + " chunk " + to_hex(hash);
    const std::string what = bytes ? "its content has another SHA-256" : bytes.error().message();
    if (lost(walk, hash))
      out_.notices.push_back(where + " is damaged and reported lost: " + what);
    else
      violation("chunks", where, "is damaged at the robot: " + what);
    return {};
  }

  // ---- files
  void sources(StreamWalk& walk) {
    StreamAudit& row = *walk.row;
    std::map<std::string, uint64_t> claimed;
    for (const SourceClaim& claim : walk.at_robot->claims) {
      ++row.sources;
      if (claim.finished) ++row.sources_done;
      // A file that grew continues where its shorter content ended.
      claimed[claim.name] = std::max(claimed[claim.name], claim.episodes);
      if (claim.set_aside) out_.notices.push_back(row.robot + " file " + claim.name + " was set aside");
    }
    for (const auto& [name, episodes] : claimed) {
      const auto found = walk.episodes_of.find(name);
      const uint64_t journaled = found == walk.episodes_of.end() ? 0 : found->second;
      if (journaled + walk.not_valued < episodes)
        violation("sources", row.robot + " file " + name,
                  "its mark says " + std::to_string(episodes) + " episodes are journaled, there are " +
                      std::to_string(journaled));
    }
    for (const auto& [name, episodes] : walk.episodes_of)
      if (!walk.at_robot->claims.empty() && claimed.find(name) == claimed.end())
        violation("sources", row.robot + " file " + name, "has episodes and no mark");
  }

  // ---- all tables of the centre
  Status stores(const ReadTxn& txn) {
    DROVER_ASSIGN(const auto counts, centre_.episodes().counts(txn));
    DROVER_ASSIGN(const uint64_t packs, centre_.packs().count(txn));
    CentreAudit& c = out_.centre;
    for (const StreamAudit& row : out_.streams) c.records += row.central;
    c.episodes = counts.episodes;
    c.packs = packs;
    c.events = counts.events;
    c.receipts = counts.receipts;
    c.enrichments = counts.enrichments;
    c.outcomes = counts.outcomes;
    c.rejected = counts.rejected;
    DROVER_TRY(imported(txn));
    expect_count("episodes", c.episodes, expected_.episodes);
    expect_count("datapacks", c.packs - c.packs_imported, expected_.packs);
    expect_count("events", c.events, expected_.events);
    expect_count("receipts", c.receipts, expected_.receipts);
    expect_count("enrichments", c.enrichments, expected_.enrichments);
    expect_count("outcomes", c.outcomes, expected_.outcomes);
    expect_count("rejected", c.rejected, expected_.rejected);
    if (options_.verify_packs) {
      if (options_.progress) options_.progress("datapack indexes", 0, c.packs);
      if (const Status good = centre_.packs().verify(txn); !good)
        violation("stores", "datapacks", good.error().message());
    }
    return central_chunks(txn);
  }

  void expect_count(const char* table, uint64_t stored, uint64_t expected) {
    if (stored == expected) return;
    violation("stores", table,
              std::to_string(stored) + " are stored, the applied records make " + std::to_string(expected));
  }

  // Packs that no record made: fine when their robot does not stream here.
  Status imported(const ReadTxn& txn) {
    if (out_.centre.packs == expected_.packs) return {};
    return centre_.packs().for_each(txn, "", [&](ByteView flat) -> Result<bool> {
      DROVER_ASSIGN(const auto pack, decode_datapack(flat));
      if (expected_packs_.count(sha256(as_bytes(pack.pack_id))) > 0) return true;
      ++out_.centre.packs_imported;
      if (stream_robots_.count(pack.provenance.robot) > 0)
        violation("stores", "datapack " + pack.pack_id,
                  "is said to be of robot " + pack.provenance.robot + ", and no record of that robot made it");
      return true;
    });
  }

  Status central_chunks(const ReadTxn& txn) {
    DROVER_ASSIGN(const auto totals, centre_.blobs().totals_in(txn));
    out_.centre.chunks = totals.held_chunks;
    out_.centre.chunk_bytes = totals.held_bytes;
    out_.centre.chunks_wanted = totals.wanted_chunks;
    uint64_t chunks = 0, bytes = 0;
    DROVER_TRY(centre_.blobs().each_held_in(txn, [&](const Hash& hash, const storage::ChunkFacts& facts) -> Status {
      progress("centre chunks", ++chunks, totals.held_chunks);
      bytes += facts.size_bytes;
      if (!options_.content) return {};
      const auto content = centre_.blobs().get_in(txn, hash);
      if (!content)
        violation("chunks", "centre chunk " + to_hex(hash), content.error().message());
      else if (content->size() != facts.size_bytes || sha256(*content) != hash)
        violation("chunks", "centre chunk " + to_hex(hash), "its content has another size or SHA-256");
      return {};
    }));
    expect_count("chunks", totals.held_chunks, chunks);
    expect_count("chunk bytes", totals.held_bytes, bytes);
    return {};
  }

  const CentralStore& centre_;
  const AuditOptions& options_;
  Audit out_;
  std::vector<RobotSnapshot> robots_;
  std::set<std::string> stream_robots_;
  std::set<std::pair<StreamId, uint64_t>> rejected_;
  std::set<std::pair<std::string, std::string>> expected_episodes_;
  std::set<Hash> expected_packs_;  // of the ids
  CentreAudit expected_;           // what the applied records make
};

}  // namespace

Result<Audit> audit(const CentralStore& centre, const std::vector<RobotToAudit>& robots, const AuditOptions& options) {
  return Auditor(centre, options).run(robots);
}

Result<AuditStores> open_for_audit(const AuditFolders& folders) {
  AuditStores stores;
  CentralStoreOptions central;
  central.path = folders.centre;
  central.access = storage::Access::read_only;
  central.verify = storage::Verify::none;  // the audit reads everything anyway, and says where it is wrong
  DROVER_ASSIGN(stores.centre, CentralStore::open(central));
  for (const std::string& folder : folders.robots) {
    storage::EnvOptions options;
    options.path = folder;
    options.databases = robot_store_databases();
    options.access = storage::Access::read_only;
    options.verify = storage::Verify::none;
    options.map_max_bytes = central.map_max_bytes;
    DROVER_ASSIGN(auto env, storage::Env::open(options));
    stores.robots.push_back(std::move(env));
  }
  return stores;
}

Result<Audit> audit_folders(const AuditFolders& folders, const AuditOptions& options) {
  DROVER_ASSIGN(const auto stores, open_for_audit(folders));
  std::vector<RobotToAudit> robots;
  for (size_t i = 0; i < folders.robots.size(); ++i) robots.push_back({folders.robots[i], &stores.robots[i]});
  return audit(*stores.centre, robots, options);
}

}  // namespace drover::sync
