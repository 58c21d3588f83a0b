// Episode, event, receipt, enrichment, outcome <-> flat Cap'n Proto bytes (schema/records.capnp).
#include <cmath>

#include "messages/capnp_util.hpp"
#include "messages/episode.hpp"
#include "messages/packet.hpp"
#include "messages/schema/records.capnp.h"

namespace drover {
namespace {

using codec::count;
using codec::blob;
using codec::text;

constexpr size_t id_max_bytes = 256;
constexpr size_t list_max_items = 1'000'000;

Status bad(std::string field, std::string what) {
  return fail(Errc::invalid_argument, std::move(field), std::move(what));
}

void write(schema::BlobRef::Builder b, const BlobRef& v) {
  b.setName(text(v.name));
  b.setMediaType(text(v.media_type));
  b.setSizeBytes(v.size_bytes);
  b.setHash(blob(v.hash));
  auto chunks = b.initChunks(count(v.chunks));
  for (uint32_t i = 0; i < v.chunks.size(); ++i) {
    chunks[i].setHash(blob(v.chunks[i].hash));
    chunks[i].setSizeBytes(v.chunks[i].size_bytes);
  }
}

Result<BlobRef> read(schema::BlobRef::Reader r) {
  BlobRef v;
  v.name = text(r.getName());
  v.media_type = text(r.getMediaType());
  v.size_bytes = r.getSizeBytes();
  if (!codec::read_hash(r.getHash(), v.hash)) return fail(Errc::corrupt, "blobs.hash", "needs 32 bytes");
  for (auto c : r.getChunks()) {
    ChunkRef chunk;
    if (c.getHash().size() != chunk.hash.size() || !codec::read_hash(c.getHash(), chunk.hash))
      return fail(Errc::corrupt, "blobs.chunks.hash", "needs 32 bytes");
    chunk.size_bytes = c.getSizeBytes();
    v.chunks.push_back(chunk);
  }
  return v;
}

void write(schema::EpisodeEvent::Builder b, const EpisodeEvent& v) {
  b.setTimeUnixNs(v.time_unix_ns);
  b.setKind(text(v.kind));
  b.setSeverity(text(v.severity));
  b.setDetail(text(v.detail));
  b.setDurationS(v.duration_s);
}

EpisodeEvent read(schema::EpisodeEvent::Reader r) {
  return {r.getTimeUnixNs(), text(r.getKind()), text(r.getSeverity()), text(r.getDetail()), r.getDurationS()};
}

void write(schema::StreamStat::Builder b, const StreamStat& v) {
  b.setName(text(v.name));
  b.setUnit(text(v.unit));
  b.setSamples(v.samples);
  b.setMissing(v.missing);
  b.setMinimum(v.minimum);
  b.setMaximum(v.maximum);
  b.setMean(v.mean);
}

StreamStat read(schema::StreamStat::Reader r) {
  return {text(r.getName()), text(r.getUnit()), r.getSamples(), r.getMissing(),
          r.getMinimum(),    r.getMaximum(),    r.getMean()};
}

void write_header(schema::Episode::Builder b, const Episode& v) {
  b.setEpisodeId(text(v.episode_id));
  b.setRobot(text(v.robot));
  b.setTaskName(text(v.task_name));
  b.setEngineType(text(v.engine_type));
  b.setSourceKind(text(v.source_kind));
  b.setSourceName(text(v.source_name));
  b.setSourceHash(blob(v.source_hash));
  b.setStartUnixNs(v.start_unix_ns);
  b.setEndUnixNs(v.end_unix_ns);
  b.setCycle(v.cycle);
  b.setRows(v.rows);
  b.setOutcome(text(v.outcome));
  b.setComplete(v.complete);
  b.setExtraJson(text(v.extra_json));
  b.setValuePerByte(v.value_per_byte);
}

Result<Episode> read(schema::Episode::Reader r) {
  Episode v;
  v.episode_id = text(r.getEpisodeId());
  v.robot = text(r.getRobot());
  v.task_name = text(r.getTaskName());
  v.engine_type = text(r.getEngineType());
  v.source_kind = text(r.getSourceKind());
  v.source_name = text(r.getSourceName());
  if (!codec::read_hash(r.getSourceHash(), v.source_hash)) return fail(Errc::corrupt, "source_hash", "needs 32 bytes");
  v.start_unix_ns = r.getStartUnixNs();
  v.end_unix_ns = r.getEndUnixNs();
  v.cycle = r.getCycle();
  v.rows = r.getRows();
  v.outcome = text(r.getOutcome());
  for (auto e : r.getEvents()) v.events.push_back(read(e));
  for (auto s : r.getStreams()) v.streams.push_back(read(s));
  for (auto b : r.getBlobs()) {
    DROVER_ASSIGN(auto blob, read(b));
    v.blobs.push_back(std::move(blob));
  }
  v.complete = r.getComplete();
  v.notes = codec::read_texts(r.getNotes());
  v.extra_json = text(r.getExtraJson());
  v.value_per_byte = r.getValuePerByte();
  return v;
}

Status check_blobs(const std::vector<BlobRef>& blobs) {
  for (size_t i = 0; i < blobs.size(); ++i) {
    uint64_t sum_bytes = 0;
    for (const ChunkRef& chunk : blobs[i].chunks) sum_bytes += chunk.size_bytes;
    if (sum_bytes != blobs[i].size_bytes)
      return bad("blobs[" + std::to_string(i) + "].size_bytes", "differs from the sum of its chunks");
  }
  return {};
}

}  // namespace

Status validate(const Episode& v) {
  if (v.episode_id.empty() || v.episode_id.size() > id_max_bytes) return bad("episode_id", "needs 1 to 256 bytes");
  if (v.task_name.empty() || v.task_name.size() > id_max_bytes) return bad("task_name", "needs 1 to 256 bytes");
  if (v.robot.empty() || v.robot.size() > id_max_bytes) return bad("robot", "needs 1 to 256 bytes");
  if (v.end_unix_ns < v.start_unix_ns) return bad("end_unix_ns", "before the start");
  if (v.events.size() > list_max_items) return bad("events", "too many events");
  if (!std::isfinite(v.value_per_byte)) return bad("value_per_byte", "is not a finite number");
  for (const EpisodeEvent& e : v.events) {
    if (e.kind.empty()) return bad("events.kind", "must not be empty");
    if (!std::isfinite(e.duration_s)) return bad("events.duration_s", "is not a finite number");
  }
  for (const StreamStat& s : v.streams)
    if (!std::isfinite(s.minimum) || !std::isfinite(s.maximum) || !std::isfinite(s.mean))
      return bad("streams." + s.name, "is not a finite number");
  return check_blobs(v.blobs);
}

Bytes encode(const Episode& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::Episode>();
  write_header(b, v);
  auto events = b.initEvents(count(v.events));
  for (uint32_t i = 0; i < v.events.size(); ++i) write(events[i], v.events[i]);
  auto streams = b.initStreams(count(v.streams));
  for (uint32_t i = 0; i < v.streams.size(); ++i) write(streams[i], v.streams[i]);
  auto blobs = b.initBlobs(count(v.blobs));
  for (uint32_t i = 0; i < v.blobs.size(); ++i) write(blobs[i], v.blobs[i]);
  codec::write_texts(b.initNotes(count(v.notes)), v.notes);
  return flat_bytes(message);
}

Result<Episode> decode_episode(ByteView flat) {
  return read_flat<schema::Episode>(flat, "episode", [](schema::Episode::Reader r) { return read(r); });
}

Bytes encode(const Event& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::Event>();
  b.setTimeUnixNs(v.time_unix_ns);
  b.setKind(text(v.kind));
  b.setSeverity(text(v.severity));
  b.setSubject(text(v.subject));
  b.setDetail(text(v.detail));
  return flat_bytes(message);
}

Result<Event> decode_event(ByteView flat) {
  return read_flat<schema::Event>(flat, "event", [](schema::Event::Reader r) -> Result<Event> {
    return Event{r.getTimeUnixNs(), text(r.getKind()), text(r.getSeverity()), text(r.getSubject()),
                 text(r.getDetail())};
  });
}

Bytes encode(const Receipt& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::Receipt>();
  b.setTimeUnixNs(v.time_unix_ns);
  b.setSubject(text(v.subject));
  b.setHash(blob(v.hash));
  b.setSizeBytes(v.size_bytes);
  b.setReason(text(v.reason));
  b.setValuePerByte(v.value_per_byte);
  b.setEpisodeId(text(v.episode_id));
  b.setAcknowledged(v.acknowledged);
  return flat_bytes(message);
}

Result<Receipt> decode_receipt(ByteView flat) {
  return read_flat<schema::Receipt>(flat, "receipt", [](schema::Receipt::Reader r) -> Result<Receipt> {
    Receipt v;
    v.time_unix_ns = r.getTimeUnixNs();
    v.subject = text(r.getSubject());
    if (!codec::read_hash(r.getHash(), v.hash)) return fail(Errc::corrupt, "hash", "needs 32 bytes");
    v.size_bytes = r.getSizeBytes();
    v.reason = text(r.getReason());
    v.value_per_byte = r.getValuePerByte();
    v.episode_id = text(r.getEpisodeId());
    v.acknowledged = r.getAcknowledged();
    return v;
  });
}

Bytes encode(const Enrichment& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::Enrichment>();
  b.setPackId(text(v.pack_id));
  b.setSource(text(v.source));
  b.setTagsJson(text(v.tags_json));
  b.setTimeUnixNs(v.time_unix_ns);
  return flat_bytes(message);
}

Result<Enrichment> decode_enrichment(ByteView flat) {
  return read_flat<schema::Enrichment>(flat, "enrichment", [](schema::Enrichment::Reader r) -> Result<Enrichment> {
    return Enrichment{text(r.getPackId()), text(r.getSource()), text(r.getTagsJson()), r.getTimeUnixNs()};
  });
}

Bytes encode(const Outcome& v) {
  capnp::MallocMessageBuilder message;
  auto b = message.initRoot<schema::Outcome>();
  b.setPackId(text(v.pack_id));
  b.setCustomerId(text(v.customer_id));
  b.setMetricsJson(text(v.metrics_json));
  b.setTimeUnixNs(v.time_unix_ns);
  return flat_bytes(message);
}

Result<Outcome> decode_outcome(ByteView flat) {
  return read_flat<schema::Outcome>(flat, "outcome", [](schema::Outcome::Reader r) -> Result<Outcome> {
    return Outcome{text(r.getPackId()), text(r.getCustomerId()), text(r.getMetricsJson()), r.getTimeUnixNs()};
  });
}

}  // namespace drover
