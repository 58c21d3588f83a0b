// Episode, event, receipt, enrichment and outcome: the other journal records as plain values.
// schema/records.capnp states units and meaning of each field; names here match it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/hash.hpp"
#include "messages/result.hpp"

namespace drover {

struct ChunkRef {
  Hash hash{};
  uint32_t size_bytes = 0;
  bool operator==(const ChunkRef&) const = default;
};

struct BlobRef {
  std::string name;
  std::string media_type;
  uint64_t size_bytes = 0;
  Hash hash{};
  std::vector<ChunkRef> chunks;
  bool operator==(const BlobRef&) const = default;
};

struct EpisodeEvent {
  int64_t time_unix_ns = 0;
  std::string kind;
  std::string severity = "info";  // info | warning | error
  std::string detail;
  double duration_s = 0;
  bool operator==(const EpisodeEvent&) const = default;
};

struct StreamStat {
  std::string name;
  std::string unit;
  uint64_t samples = 0;
  uint64_t missing = 0;
  double minimum = 0;
  double maximum = 0;
  double mean = 0;
  bool operator==(const StreamStat&) const = default;
};

struct Episode {
  std::string episode_id;
  std::string robot;
  std::string task_name;
  std::string engine_type = "real";
  std::string source_kind;
  std::string source_name;
  Hash source_hash{};
  int64_t start_unix_ns = 0;
  int64_t end_unix_ns = 0;
  int64_t cycle = 0;
  uint64_t rows = 0;
  std::string outcome = "unknown";  // success | failure | recovered | unknown
  std::vector<EpisodeEvent> events;
  std::vector<StreamStat> streams;
  std::vector<BlobRef> blobs;
  bool complete = true;
  std::vector<std::string> notes;
  std::string extra_json;
  double value_per_byte = 0;
  bool operator==(const Episode&) const = default;
};

struct Event {
  int64_t time_unix_ns = 0;
  std::string kind;
  std::string severity = "info";
  std::string subject;
  std::string detail;
  bool operator==(const Event&) const = default;
};

struct Receipt {
  int64_t time_unix_ns = 0;
  std::string subject = "chunk";
  Hash hash{};
  uint64_t size_bytes = 0;
  std::string reason;
  double value_per_byte = 0;
  std::string episode_id;
  bool acknowledged = false;
  bool operator==(const Receipt&) const = default;
};

struct Enrichment {
  std::string pack_id;
  std::string source;
  std::string tags_json;
  int64_t time_unix_ns = 0;
  bool operator==(const Enrichment&) const = default;
};

struct Outcome {
  std::string pack_id;
  std::string customer_id;
  std::string metrics_json;
  int64_t time_unix_ns = 0;
  bool operator==(const Outcome&) const = default;
};

// Current schema number stored in each record's header (record.hpp).
inline constexpr uint16_t record_schema_current = 1;

// validate: ids non-empty, times ordered, numbers finite, sizes bounded; the error names the field.
Status validate(const Episode& episode);

// Flat Cap'n Proto bytes; equal values give equal bytes. Decoding errors: truncated, corrupt, too_large.
Bytes encode(const Episode& value);
Bytes encode(const Event& value);
Bytes encode(const Receipt& value);
Bytes encode(const Enrichment& value);
Bytes encode(const Outcome& value);
Result<Episode> decode_episode(ByteView flat);
Result<Event> decode_event(ByteView flat);
Result<Receipt> decode_receipt(ByteView flat);
Result<Enrichment> decode_enrichment(ByteView flat);
Result<Outcome> decode_outcome(ByteView flat);

}  // namespace drover
