#include "storage/dump.hpp"

namespace drover::storage {
namespace {

constexpr uint64_t read_bytes = 4u << 20;

class Dumper {
 public:
  Dumper(const ReadTxn& txn, const DumpLine& sink) : txn_(txn), sink_(sink) {}

  Status line(std::string_view text) {
    digest_.update(as_bytes(text));
    digest_.update(as_bytes("\n"));
    ++result_.lines;
    return sink_ ? sink_(text) : Status{};
  }

  Status stream(const Inbox& inbox, const StreamFacts& stream) {
    const std::string name = dump_quoted(stream.robot) + " " + std::to_string(stream.incarnation);
    DROVER_TRY(line("stream " + name + " rank " + std::to_string(stream.rank) + " durable " +
                    std::to_string(stream.durable_seq)));
    uint64_t next = 1;
    while (next <= stream.durable_seq) {
      DROVER_ASSIGN(const auto blocks, inbox.read_in(txn_, stream.robot, stream.incarnation, next, read_bytes));
      for (const Block& block : blocks) {
        DROVER_TRY(block.verify_hashes());
        for (size_t i = 0; i < block.count(); ++i) {
          const RecordView record = block.record(i);
          DROVER_TRY(line("record " + name + " " + std::to_string(record.seq) + " " + to_hex(record.hash)));
          ++result_.records;
        }
        next = block.last_seq() + 1;
      }
    }
    return {};
  }

  Status inbox(const Inbox& inbox) {
    DROVER_ASSIGN(const auto streams, inbox.streams_in(txn_));
    for (const StreamFacts& one : streams) DROVER_TRY(stream(inbox, one));
    DROVER_ASSIGN(const auto quarantined, inbox.quarantine_list_in(txn_));
    for (const Quarantined& one : quarantined)
      DROVER_TRY(line("quarantine " + dump_quoted(one.robot) + " " + dump_quoted(one.reason)));
    return inbox.watermarks_in(
        txn_, [&](std::string_view consumer, std::string_view robot, uint64_t incarnation, uint64_t seq) {
          return line("watermark " + dump_quoted(consumer) + " " + dump_quoted(robot) + " " +
                      std::to_string(incarnation) + " " + std::to_string(seq));
        });
  }

  Status blobs(const Blobs& blobs, bool content) {
    return blobs.each_held_in(txn_, [&](const Hash& hash, const ChunkFacts& facts) -> Status {
      if (content) {
        DROVER_ASSIGN(const Bytes bytes, blobs.get_in(txn_, hash));
        if (bytes.size() != facts.size_bytes || sha256(bytes) != hash)
          return fail(Errc::corrupt, "chunk " + to_hex(hash), "its content has another SHA-256");
      }
      ++result_.chunks;
      return line("chunk " + to_hex(hash) + " " + std::to_string(facts.size_bytes));
    });
  }

  DumpResult finish() {
    result_.digest = digest_.finish();
    return result_;
  }

 private:
  const ReadTxn& txn_;
  const DumpLine& sink_;
  Sha256 digest_;
  DumpResult result_;
};

}  // namespace

std::string dump_quoted(std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20) {
      out += "\\u00";
      out += hex[u >> 4];
      out += hex[u & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

Result<DumpResult> dump_in(const ReadTxn& txn, const DumpParts& parts, const DumpLine& sink) {
  Dumper dumper(txn, sink);
  DROVER_TRY(dumper.line("drover-dump 1"));
  if (parts.inbox != nullptr) DROVER_TRY(dumper.inbox(*parts.inbox));
  if (parts.blobs != nullptr) DROVER_TRY(dumper.blobs(*parts.blobs, parts.content));
  if (parts.extra) DROVER_TRY(parts.extra(txn, [&](std::string_view text) { return dumper.line(text); }));
  DROVER_TRY(dumper.line("end"));
  return dumper.finish();
}

}  // namespace drover::storage
