#include "actors/sync/central_dump.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "messages/episode.hpp"
#include "storage/keys.hpp"

namespace drover::sync {
namespace {

using storage::KeyReader;
using storage::ReadTxn;

constexpr uint64_t read_bytes = 4u << 20;

// Tables whose keys and values come from content alone.
constexpr std::array content_tables{"episodes",    "episodes_by_time", "packs.data",   "packs.ids",
                                    "packs.lists", "packs.counts",     "packs.tasks",  "chunk_states",
                                    "chunk_parts", "chunk_evictable",  "chunk_wanted", "chunk_totals",
                                    "knowledge"};

// Tables whose keys end in the record's origin, and what comes before it.
enum class Prefix { none, hash, text };
struct OriginTable {
  const char* name;
  Prefix prefix;
  RecordKind kind;  // whose payload the value is
};
constexpr std::array origin_tables{
    OriginTable{"node_events", Prefix::none, RecordKind::event},
    OriginTable{"receipts", Prefix::hash, RecordKind::receipt},
    OriginTable{"enrichments", Prefix::text, RecordKind::enrichment},
    OriginTable{"outcomes", Prefix::text, RecordKind::outcome},
    OriginTable{"rejected", Prefix::none, RecordKind{}},
};

Result<Hash> timeless_payload(RecordKind kind, ByteView payload) {
  if (kind == RecordKind::event) {
    DROVER_ASSIGN(auto event, decode_event(payload));
    event.time_unix_ns = 0;
    return sha256(encode(event));
  }
  if (kind == RecordKind::receipt) {
    DROVER_ASSIGN(auto receipt, decode_receipt(payload));
    receipt.time_unix_ns = 0;
    return sha256(encode(receipt));
  }
  return sha256(payload);
}

class CentralDumper {
 public:
  CentralDumper(const CentralStore& store, const storage::DumpLine& sink) : store_(store), sink_(sink) {}

  Result<CentralDump> run() {
    DROVER_TRY(line("drover-central-dump 1"));
    DROVER_TRY(store_.central_env().read([this](const ReadTxn& central) -> Status {
      DROVER_TRY(streams(central));
      for (const char* table : content_tables) DROVER_TRY(content_rows(central, table));
      for (const OriginTable& table : origin_tables) DROVER_TRY(origin_rows(central, table));
      return chunks(central);
    }));
    DROVER_TRY(line("end"));
    result_.digest = digest_.finish();
    return result_;
  }

 private:
  Status line(std::string_view text) {
    digest_.update(as_bytes(text));
    digest_.update(as_bytes("\n"));
    ++result_.lines;
    return sink_ ? sink_(text) : Status{};
  }

  Status streams(const ReadTxn& central) {
    const auto& inbox = store_.inbox();
    DROVER_ASSIGN(const auto all, store_.inbox_env().read([&](const ReadTxn& txn) { return inbox.streams_in(txn); }));
    for (const auto& stream : all) {
      ranks_[{stream.robot, stream.incarnation}] = stream.rank;
      DROVER_ASSIGN(const uint64_t applied_seq,
                    store_.progress().watermark_in(central, apply_consumer, stream.robot, stream.incarnation));
      DROVER_TRY(line("stream " + name(stream) + " durable " + std::to_string(stream.durable_seq) + " applied " +
                      std::to_string(applied_seq)));
      DROVER_TRY(records(stream));
    }
    DROVER_ASSIGN(const auto quarantined,
                  store_.inbox_env().read([&](const ReadTxn& txn) { return inbox.quarantine_list_in(txn); }));
    for (const auto& one : quarantined) DROVER_TRY(line("quarantine " + storage::dump_quoted(one.robot)));
    return {};
  }

  static std::string name(const storage::StreamFacts& stream) {
    return storage::dump_quoted(stream.robot) + " " + std::to_string(stream.rank);
  }

  Status records(const storage::StreamFacts& stream) {
    uint64_t next = 1;
    while (next <= stream.durable_seq) {
      DROVER_ASSIGN(const auto blocks, store_.inbox_env().read([&](const ReadTxn& txn) {
        return store_.inbox().read_in(txn, stream.robot, stream.incarnation, next, read_bytes);
      }));
      if (blocks.empty())
        return fail(Errc::corrupt, "inbox " + stream.robot, "ends before seq " + std::to_string(next));
      for (const Block& block : blocks) {
        DROVER_TRY(block.verify_hashes());
        for (size_t i = 0; i < block.count(); ++i)
          if (const auto record = block.record(i); record.seq >= next && record.seq <= stream.durable_seq)
            DROVER_TRY(one_record(stream, record));
        next = std::max(next, block.last_seq() + 1);
      }
    }
    return {};
  }

  Status one_record(const storage::StreamFacts& stream, const RecordView& record) {
    DROVER_ASSIGN(const Hash hash, timeless_hash(record));
    ++result_.records;
    return line("record " + name(stream) + " " + std::to_string(record.seq) + " " +
                std::string(record_kind_name(record.kind)) + " " + to_hex(hash));
  }

  Status content_rows(const ReadTxn& txn, const std::string& table) {
    return txn.for_each(store_.central_env().db(table), {}, [&](ByteView key, ByteView value) -> Result<bool> {
      DROVER_TRY(line("row " + table + " " + to_hex(key) + " " + to_hex(sha256(value))));
      return true;
    });
  }

  Status origin_rows(const ReadTxn& txn, const OriginTable& table) {
    std::vector<std::string> lines;  // the order of keys depends on incarnations, the order of lines must not
    DROVER_TRY(
        txn.for_each(store_.central_env().db(table.name), {}, [&](ByteView key_bytes, ByteView value) -> Result<bool> {
          KeyReader key(key_bytes);
          if (table.prefix == Prefix::hash) key.raw(sizeof(Hash));
          if (table.prefix == Prefix::text) key.text();
          const std::string robot(key.text());
          const uint64_t rank = ranks_[{robot, key.u64()}];
          std::string seq = std::to_string(key.u64());
          seq.insert(0, 20 - std::min<size_t>(20, seq.size()), '0');
          if (!key.done()) return fail(Errc::corrupt, table.name, "odd key " + to_hex(key_bytes));
          DROVER_ASSIGN(const Hash hash, timeless_payload(table.kind, value));
          lines.push_back("row " + std::string(table.name) + " " + storage::dump_quoted(robot) + " " +
                          std::to_string(rank) + " " + seq + " " + to_hex(hash));
          return true;
        }));
    std::sort(lines.begin(), lines.end());
    for (const std::string& one : lines) DROVER_TRY(line(one));
    return {};
  }

  Status chunks(const ReadTxn& txn) {
    return store_.blobs().each_held_in(txn, [&](const Hash& hash, const storage::ChunkFacts& facts) -> Status {
      DROVER_ASSIGN(const Bytes bytes, store_.blobs().get_in(txn, hash));
      if (bytes.size() != facts.size_bytes || sha256(bytes) != hash)
        return fail(Errc::corrupt, "chunk " + to_hex(hash), "its content has another SHA-256");
      ++result_.chunks;
      return line("chunk " + to_hex(hash) + " " + std::to_string(facts.size_bytes));
    });
  }

  const CentralStore& store_;
  const storage::DumpLine& sink_;
  std::map<std::pair<std::string, uint64_t>, uint64_t> ranks_;
  Sha256 digest_;
  CentralDump result_;
};

}  // namespace

Result<Hash> timeless_hash(const RecordView& record) {
  const bool timed = record.kind == RecordKind::event || record.kind == RecordKind::receipt;
  if (!timed) return record.hash;
  auto hash = timeless_payload(record.kind, record.payload);
  return hash ? hash : Result<Hash>(record.hash);  // undecodable: it can only be compared as it is
}

Result<CentralDump> dump_central(const CentralStore& store, const storage::DumpLine& sink) {
  return CentralDumper(store, sink).run();
}

}  // namespace drover::sync
