#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <vector>

#include "actors/runtime/rng.hpp"
#include "actors/sync/audit.hpp"
#include "actors/sync/central_store.hpp"
#include "actors/sync/robot_store.hpp"
#include "messages/episode.hpp"
#include "storage/keys.hpp"
#include "stress/selftest/models.hpp"
#include "stress/sim/workload.hpp"

namespace drover::simulate {
namespace {

using storage::AppendStatus;

constexpr int64_t epoch_ns = 1'704'067'200'000'000'000;

// A folder of its own that goes with it.
class Folder {
 public:
  explicit Folder(const std::string& parent) : path_(parent + "/drover-model-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

sync::CentralStoreOptions central_options(const std::string& folder) {
  sync::CentralStoreOptions options;
  options.path = folder + "/centre";
  options.map_initial_bytes = 4u << 20;
  options.sync = storage::Sync::nosync;
  options.verify = storage::Verify::none;
  return options;
}

sync::RobotStoreOptions robot_options(const std::string& folder, uint64_t quota_bytes) {
  sync::RobotStoreOptions options;
  options.path = folder + "/robot-1";
  options.robot = "robot-1";
  options.incarnation = 7;
  options.quota_bytes = quota_bytes;
  options.map_initial_bytes = 1u << 20;
  options.sync = storage::Sync::nosync;
  options.verify = storage::Verify::none;
  return options;
}

// A record of a stream as the model remembers it: its number makes its content.
Block block_of(const std::string& salt, uint64_t first, uint64_t count) {
  BlockBuilder builder(first);
  for (uint64_t seq = first; seq < first + count; ++seq) {
    Event event;
    event.kind = "model";
    event.detail = salt + " " + std::to_string(seq);
    (void)builder.add(RecordKind::event, record_schema_current, epoch_ns, encode(event));
  }
  auto block = Block::parse(builder.finish());
  return block ? *block : Block();
}

// ---- the inbox ---------------------------------------------------------------------------------

class InboxModel {
 public:
  InboxModel(sync::CentralStore& store, runtime::Rng& rng) : store_(store), rng_(rng) {}

  std::string run() {
    found(1);
    for (int i = 0; i < 60 && failure_.empty(); ++i) {
      now_ns_ += rng_.between(1, 60'000) * 1'000'000;
      act();
    }
    for (const auto& [incarnation, durable] : durable_) {
      (void)durable;
      for (int i = 0; i < 200 && failure_.empty(); ++i) {
        const auto applied = store_.apply({robot_, incarnation}, 1'000);
        if (!applied) failure_ = "apply: " + applied.error().message();
        if (!applied || !applied->more) break;
      }
    }
    return failure_;
  }

 private:
  void act() {
    const uint64_t durable = durable_[newest_];
    switch (rng_.below(8)) {
      case 0:
      case 1:  // what comes next
        return expect(newest_, block_of("truth", durable + 1, 1 + rng_.below(5)), AppendStatus::ok);
      case 2:  // a repeat
        if (durable > 0) expect(newest_, block_of("truth", 1 + rng_.below(durable), 1), AppendStatus::ok);
        return;
      case 3: {  // the end of what is known and something new
        const uint64_t known = std::min<uint64_t>(durable, rng_.below(4));
        return expect(newest_, block_of("truth", durable + 1 - known, known + 1 + rng_.below(3)), AppendStatus::ok);
      }
      case 4:  // a hole
        return expect(newest_, block_of("truth", durable + 2 + rng_.below(3), 1 + rng_.below(3)), AppendStatus::gap);
      case 5:  // an older disk
        if (newest_ > 1) {
          expect(newest_ - 1, block_of("truth", durable_[newest_ - 1] + 1, 1), AppendStatus::refused);
          const auto opened = store_.open_stream({robot_, newest_ - 1}, now_ns_);
          if (opened && failure_.empty()) failure_ = "an older incarnation was welcomed";
        }
        return;
      case 6:  // a new disk
        if (rng_.chance(0.3)) found(newest_ + 1);
        return;
      default:  // another record under a known number
        if (durable > 0 && rng_.chance(0.2)) {
          expect(newest_, block_of("a lie", 1 + rng_.below(durable), 1), AppendStatus::conflict);
          expect(newest_, block_of("truth", durable + 1, 1), AppendStatus::refused);
          pardon();
        }
    }
  }

  void found(uint64_t incarnation) {
    const auto opened = store_.open_stream({robot_, incarnation}, now_ns_);
    if (!opened) return fail_with("a new incarnation was refused: " + opened.error().message());
    if (opened->durable_seq != 0 || opened->incarnation != incarnation)
      return fail_with("a new disk begins at record " + std::to_string(opened->durable_seq + 1));
    newest_ = incarnation;
    durable_[newest_] = 0;
  }

  void expect(uint64_t incarnation, const Block& block, AppendStatus status) {
    if (!failure_.empty()) return;
    const std::vector<storage::Incoming> incoming{{robot_, incarnation, block, now_ns_}};
    const auto outcomes = store_.append(incoming);
    if (!outcomes) return fail_with("append: " + outcomes.error().message());
    const auto& got = outcomes->front();
    const std::string what = "records " + std::to_string(block.first_seq()) + ".." + std::to_string(block.last_seq()) +
                             " after " + std::to_string(durable_[incarnation]);
    if (got.status != status)
      return fail_with(what + ": " + std::string(append_status_name(got.status)) + " instead of " +
                       std::string(append_status_name(status)));
    if (status == AppendStatus::ok) durable_[incarnation] = std::max(durable_[incarnation], block.last_seq());
    if (got.durable_seq != durable_[incarnation])
      return fail_with(what + ": the watermark says " + std::to_string(got.durable_seq) + " instead of " +
                       std::to_string(durable_[incarnation]));
    content(incarnation);
  }

  // Every stored record is the one that was sent.
  void content(uint64_t incarnation) {
    if (durable_[incarnation] == 0) return;
    const auto blocks = store_.inbox_env().read(
        [&](const storage::ReadTxn& txn) { return store_.inbox().read_in(txn, robot_, incarnation, 1, UINT64_MAX); });
    if (!blocks) return fail_with(blocks.error().message());
    for (const Block& block : *blocks) {
      const Block truth = block_of("truth", block.first_seq(), block.count());
      for (size_t i = 0; i < block.count(); ++i)
        if (block.record(i).hash != truth.record(i).hash)
          return fail_with("record " + std::to_string(block.first_seq() + i) + " is another than was sent");
    }
  }

  void pardon() {
    const auto cleared = const_cast<storage::Env&>(store_.inbox_env()).write([&](storage::WriteTxn& txn) {
      return store_.inbox().clear_quarantine_in(txn, robot_);
    });
    if (!cleared) fail_with(cleared.error().message());
  }

  void fail_with(std::string why) {
    if (failure_.empty()) failure_ = "inbox: " + std::move(why);
  }

  sync::CentralStore& store_;
  runtime::Rng& rng_;
  const std::string robot_ = "robot-1";
  uint64_t newest_ = 1;
  std::map<uint64_t, uint64_t> durable_{{1, 0}};
  int64_t now_ns_ = epoch_ns;
  std::string failure_;
};

// ---- chunks and knowledge at the centre ------------------------------------------------------

std::string check_pieces(sync::CentralStore& store, runtime::Rng& rng) {
  for (int n = 0; n < 6; ++n) {
    const size_t size = 400 + rng.below(2'000);
    const Bytes content = Bytes::make(size, [&](std::span<std::byte> out) {
      for (auto& b : out) b = static_cast<std::byte>(rng.next());
    });
    const Hash hash = sha256(content);
    uint64_t have = 0;
    bool damaged = false, complete = false;
    for (int i = 0; i < 200 && !complete; ++i) {
      const uint64_t at = rng.chance(0.2) ? rng.below(size) : have;  // sometimes a repeat or a hole
      Bytes bytes = Bytes::copy_of(content.view().subspan(at, std::min<size_t>(size - at, 1 + rng.below(600))));
      const bool bad = at == have && rng.chance(0.05);
      if (bad)
        bytes = Bytes::make(bytes.size(), [&](std::span<std::byte> out) {
          std::ranges::copy(bytes.view(), out.begin());
          out[0] ^= std::byte{1};
        });
      const storage::Blobs::Piece piece{hash, at, static_cast<uint32_t>(size), bytes.view()};
      const auto results = store.put_pieces(std::span(&piece, 1));
      if (!results) return "chunks: " + results.error().message();
      const auto& r = results->front();
      if (at > have && (r.outcome.have_bytes != have || r.outcome.complete))
        return "chunks: a piece behind a hole was taken";
      damaged |= bad;
      complete = r.outcome.complete;
      if (complete && damaged) return "chunks: complete, with content that is not its hash's";
      if (r.outcome.have_bytes == 0) damaged = false;  // dropped, from the start again
      have = r.outcome.have_bytes;
    }
    if (!complete) return "chunks: never complete";
  }
  return {};
}

std::string check_knowledge(sync::CentralStore& store, runtime::Rng& rng) {
  uint64_t held = 0;
  for (int i = 0; i < 12; ++i) {
    const uint64_t version = 1 + rng.below(held + 3);
    const std::string text = "knowledge " + std::to_string(version);
    const auto published = store.publish(version, as_bytes(text));
    if (published.has_value() != (version >= held))
      return "knowledge: version " + std::to_string(version) + " over " + std::to_string(held) +
             (published ? " was taken" : " was refused");
    held = std::max(held, version);
    const auto now = store.knowledge();
    if (!now || now->version != held) return "knowledge: the newest is not the newest";
  }
  return {};
}

// ---- a robot's store ---------------------------------------------------------------------------

std::string check_robot(const std::string& folder, runtime::Rng& rng) {
  const auto key = generate_ed25519();
  const auto other = generate_ed25519();
  if (!key || !other) return "no keys";
  auto options = robot_options(folder, uint64_t{1} << 30);
  options.knowledge_key = key->public_key;
  auto store = sync::RobotStore::open(options);
  if (!store) return store.error().message();
  Knowledge knowledge;
  knowledge.version = 2 + rng.below(5);
  knowledge.author = "centre";
  const auto forged = sign_knowledge(knowledge, *other);
  if (!forged || store->apply_knowledge(encode(*forged))) return "knowledge of a foreign key was applied";
  const auto good = sign_knowledge(knowledge, *key);
  if (!good || !store->apply_knowledge(encode(*good))) return "signed knowledge was refused";
  --knowledge.version;
  const auto old = sign_knowledge(knowledge, *key);
  if (!old || store->apply_knowledge(encode(*old))) return "knowledge went back";

  // A chunk that is gone is told once.
  const auto before = store->facts();
  const Hash gone = sha256(as_bytes("never stored"));
  for (int i = 0; i < 3; ++i) (void)store->read_piece(gone, 0, 100, epoch_ns);
  const auto after = store->facts();
  if (!before || !after) return "facts";
  if (after->last_seq != before->last_seq + 1)
    return "a lost chunk made " + std::to_string(after->last_seq - before->last_seq) + " receipts";
  return {};
}

}  // namespace

std::string check_stores(uint64_t seed, const std::string& folder) {
  const Folder own(folder);
  auto rng = runtime::Rng::stream(seed, "model of the stores");
  auto store = sync::CentralStore::open(central_options(own.path()));
  if (!store) return store.error().message();
  if (std::string why = InboxModel(**store, rng).run(); !why.empty()) return why;
  if (std::string why = check_pieces(**store, rng); !why.empty()) return why;
  if (std::string why = check_knowledge(**store, rng); !why.empty()) return why;
  if (std::string why = check_robot(own.path(), rng); !why.empty()) return why;
  // The same datapack twice counts once.
  const auto capture = make_episode("robot-2", rng.below(1'000), {});
  const auto pack = decode_datapack(capture.records[1].payload);
  for (int i = 0; pack && i < 2; ++i)
    if (const Status put = (*store)->import_packs(std::span(&*pack, 1)); !put) return put.error().message();
  const auto sound =
      (*store)->central_env().read([&](const storage::ReadTxn& txn) { return (*store)->packs().verify(txn); });
  if (!sound) return "datapacks: " + sound.error().message();
  const auto audit = sync::audit(**store, {}, {});
  if (!audit) return audit.error().message();
  if (!audit->balanced()) return "audit: " + audit->violations.front().check + ": " + audit->violations.front().what;
  return {};
}

// ---- the audit ---------------------------------------------------------------------------------

namespace {

// A robot whose every record and chunk is central.
std::string make_sound(const std::string& folder, runtime::Rng& rng) {
  auto robot = sync::RobotStore::open(robot_options(folder, uint64_t{1} << 30));
  if (!robot) return robot.error().message();
  auto centre = sync::CentralStore::open(central_options(folder));
  if (!centre) return centre.error().message();
  const uint64_t episodes = 2 + rng.below(4);
  std::vector<sync::StoreCapture> captures;
  for (uint64_t i = 0; i < episodes; ++i) {
    captures.push_back(make_episode("robot-1", 4 * i, {}));
    if (const auto stored = robot->store(captures.back(), epoch_ns); !stored) return stored.error().message();
  }
  const auto facts = robot->facts();
  const auto read = robot->read_block(1, 1u << 20);
  if (!facts || !read) return "the journal cannot be read";
  const auto block = Block::parse(read->block);
  if (!block) return block.error().message();
  const std::vector<storage::Incoming> incoming{{"robot-1", 7, *block, epoch_ns}};
  const auto appended = (*centre)->append(incoming);
  if (!appended || appended->front().status != AppendStatus::ok) return "the inbox refused";
  if (const auto applied = (*centre)->apply({"robot-1", 7}, 1u << 20); !applied) return applied.error().message();
  for (const auto& capture : captures)
    for (const auto& chunk : capture.chunks) {
      const storage::Blobs::Piece piece{chunk.hash, 0, static_cast<uint32_t>(chunk.bytes.size()), chunk.bytes.view()};
      if (const auto put = (*centre)->put_pieces(std::span(&piece, 1)); !put) return put.error().message();
      if (const Status acked = robot->chunks_acked({chunk.hash}); !acked) return acked.error().message();
    }
  if (const Status acked = robot->records_acked(facts->last_seq); !acked) return acked.error().message();
  return {};
}

// The robot believes something central that is not.
std::string believe(const std::string& folder) {
  auto robot = sync::RobotStore::open(robot_options(folder, uint64_t{1} << 30));
  if (!robot) return robot.error().message();
  sync::StoreCapture event;
  event.records.push_back({RecordKind::event, epoch_ns, encode(Event{})});
  const auto stored = robot->store(event, epoch_ns);
  if (!stored) return stored.error().message();
  const Status acked = robot->records_acked(stored->last_seq);
  return acked ? "" : acked.error().message();
}

// Takes one row out of one table.
std::string damage(const std::string& folder, const std::string& table, runtime::Rng& rng) {
  auto centre = sync::CentralStore::open(central_options(folder));
  if (!centre) return centre.error().message();
  const bool inbox = table == "inbox";
  auto& env = const_cast<storage::Env&>(inbox ? (*centre)->inbox_env() : (*centre)->central_env());
  const Status done = env.write([&](storage::WriteTxn& txn) -> Status {
    DROVER_ASSIGN(const uint64_t rows, txn.count(env.db(table)));
    if (rows == 0) return fail(Errc::not_found, table, "is empty");
    std::vector<std::byte> key;
    {
      storage::Cursor at = txn.cursor(env.db(table));
      DROVER_ASSIGN(bool more, at.first());
      for (uint64_t n = rng.below(rows); n > 0 && more; --n) {
        DROVER_ASSIGN(more, at.next());
      }
      key.assign(at.key().begin(), at.key().end());
    }
    DROVER_TRY(txn.erase(env.db(table), key));
    return {};
  });
  return done ? "" : done.error().message();
}

}  // namespace

std::string check_audit(uint64_t seed, const std::string& folder) {
  const Folder own(folder);
  auto rng = runtime::Rng::stream(seed, "model of the audit");
  if (std::string why = make_sound(own.path(), rng); !why.empty()) return "setting up: " + why;
  const sync::AuditFolders folders{own.path() + "/centre", {own.path() + "/robot-1"}};
  const auto before = sync::audit_folders(folders, {});
  if (!before) return "the audit of sound stores: " + before.error().message();
  if (!before->balanced()) return "the audit blames sound stores: " + before->violations.front().what;
  constexpr std::array<const char*, 6> tables{"chunks", "inbox", "episodes", "node_events", "chunk_states", "acked"};
  const std::string table = tables[rng.below(tables.size())];
  const std::string why = table == "acked" ? believe(own.path()) : damage(own.path(), table, rng);
  if (!why.empty()) return "damaging " + table + ": " + why;
  const auto after = sync::audit_folders(folders, {});
  if (after && after->balanced()) return "'" + table + "' was damaged, and the audit balances";
  return {};
}

}  // namespace drover::simulate
