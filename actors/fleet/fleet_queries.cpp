// Questions about episodes, events, streams, the store itself and knowledge.
#include <algorithm>

#include "actors/fleet/calls.hpp"
#include "messages/hash.hpp"

namespace drover::fleet {
namespace {

using storage::ReadTxn;

Row env_row(const storage::EnvFacts& facts) {
  return Row{{"file_bytes", facts.file_bytes},
             {"used_bytes", facts.used_bytes},
             {"map_bytes", facts.map_bytes},
             {"disk_free_bytes", facts.disk_free_bytes},
             {"transactions", facts.transactions}};
}

// How much of a blob is at the centre.
Result<Row> blob_row(const sync::CentralStore& store, const ReadTxn& txn, const BlobRef& blob) {
  DROVER_ASSIGN(const auto missing, store.blobs().missing_in(txn, blob.chunks));
  uint64_t missing_bytes = 0;
  for (const ChunkRef& chunk : missing) missing_bytes += chunk.size_bytes;
  return Row{{"name", blob.name},
             {"media_type", blob.media_type},
             {"size_bytes", blob.size_bytes},
             {"sha256", to_hex(blob.hash)},
             {"chunks", blob.chunks.size()},
             {"chunks_held", blob.chunks.size() - missing.size()},
             {"missing_bytes", missing_bytes}};
}

// The name of an episode's datapack; empty: it is not here.
Result<std::string> pack_of(const sync::CentralStore& store, const ReadTxn& txn, const Episode& episode) {
  storage::PackQuery query;
  query.robot = episode.robot;
  query.task_name = episode.task_name;
  query.from_unix_ns = episode.start_unix_ns;
  query.until_unix_ns = episode.start_unix_ns + 1;
  query.limit = 1000;  // begun in the same nanosecond
  DROVER_ASSIGN(const auto answer, store.packs().query(txn, query));
  for (const auto& hit : answer.hits) {
    DROVER_ASSIGN(const auto pack, decode_datapack(hit.flat));
    if (pack.provenance.episode_id == episode.episode_id) return pack.pack_id;
  }
  return std::string();
}

// What was said of the episode's datapack since, by its robot and by the centre.
Status write_said(Reply& reply, const CallContext& call, const ReadTxn& txn, const Episode& episode) {
  DROVER_ASSIGN(const std::string pack_id, pack_of(call.store, txn, episode));
  reply.field("pack_id", pack_id);
  reply.begin_list("enrichments");
  if (!pack_id.empty()) {
    DROVER_TRY(call.store.episodes().for_each_enrichment(txn, pack_id, [&](ByteView flat) -> Result<bool> {
      DROVER_ASSIGN(const Enrichment said, decode_enrichment(flat));
      Row body = Row::parse(said.tags_json, nullptr, false);
      if (body.is_discarded()) body = said.tags_json;
      return reply.item(Row{{"source", said.source}, {"time_unix_ns", said.time_unix_ns}, {"body", std::move(body)}});
    }));
  }
  reply.end_list();
  return {};
}

Row counts_row(const storage::EpisodeStore::Counts& c, uint64_t packs) {
  return Row{
      {"episodes", c.episodes},       {"packs", packs},         {"events", c.events},    {"receipts", c.receipts},
      {"enrichments", c.enrichments}, {"outcomes", c.outcomes}, {"rejected", c.rejected}};
}

Row chunks_row(const storage::BlobTotals& t) {
  return Row{{"held", t.held_chunks},
             {"held_bytes", t.held_bytes},
             {"wanted", t.wanted_chunks},
             {"wanted_bytes", t.wanted_bytes}};
}

Row stream_row(const storage::StreamFacts& s, uint64_t applied_seq) {
  return Row{{"robot", s.robot},
             {"incarnation", s.incarnation},
             {"rank", s.rank},
             {"newest", s.newest},
             {"durable_seq", s.durable_seq},
             {"applied_seq", applied_seq},
             {"first_seen_unix_ns", s.first_seen_unix_ns},
             {"last_seen_unix_ns", s.last_seen_unix_ns}};
}

struct InboxState {
  std::vector<storage::StreamFacts> streams;
  std::vector<storage::Quarantined> quarantined;
};

Status write_streams(Reply& reply, const sync::CentralStore& store, const InboxState& state) {
  reply.begin_list("quarantined");
  for (const auto& q : state.quarantined)
    if (!reply.item(Row{{"robot", q.robot}, {"since_unix_ns", q.since_unix_ns}, {"reason", q.reason}})) break;
  reply.end_list();
  reply.begin_list("streams");
  for (const auto& stream : state.streams) {
    DROVER_ASSIGN(const uint64_t applied_seq, store.applied_seq({stream.robot, stream.incarnation}));
    if (!reply.item(stream_row(stream, std::min(applied_seq, stream.durable_seq)))) break;
  }
  reply.end_list();
  return {};
}

// The document as text when it is UTF-8, else as hex.
void write_document(Reply& reply, const std::string& name, const Bytes& body) {
  reply.field("name", name);
  const Row text(std::string(body.text()));
  const std::string as_text = dump(text);
  const Row back = Row::parse(as_text, nullptr, false);
  if (back == text)
    reply.raw("text", as_text);
  else
    reply.field("hex", to_hex(body.view()));
}

}  // namespace

Result<std::string> episodes_list(const CallContext& call) {
  storage::EpisodeFilter filter;
  call.fields.text("robot", filter.robot);
  call.fields.text("task_name", filter.task_name);
  call.fields.text("outcome", filter.outcome);
  call.fields.text("event", filter.event);
  call.fields.integer("from_unix_ns", filter.from_unix_ns);
  call.fields.integer("until_unix_ns", filter.until_unix_ns);
  call.fields.bounded("limit", filter.limit, {1, rows_max});
  call.fields.flag("newest_first", filter.newest_first);
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto episodes, call.store.episodes().episodes(txn, filter));
    Reply reply(call.bounds.reply_bytes_max);
    reply.begin_list("episodes");
    for (const Episode& episode : episodes)
      if (!reply.item(episode_row(episode))) break;
    reply.end_list();
    return reply.finish();
  });
}

Result<std::string> episodes_show(const CallContext& call) {
  std::string robot, episode_id;
  call.fields.required("robot", robot);
  call.fields.required("episode_id", episode_id);
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto episode, call.store.episodes().episode(txn, robot, episode_id));
    if (!episode)
      return fail(Errc::not_found, "episode_id",
                  "robot '" + robot.substr(0, 200) + "' has no episode '" + episode_id.substr(0, 200) + "' here");
    Reply reply(call.bounds.reply_bytes_max);
    reply.field("episode", episode_details(*episode));
    reply.begin_list("blobs");
    for (const BlobRef& blob : episode->blobs) {
      DROVER_ASSIGN(const Row row, blob_row(call.store, txn, blob));
      if (!reply.item(row)) break;
    }
    reply.end_list();
    DROVER_TRY(write_said(reply, call, txn, *episode));
    return reply.finish();
  });
}

Result<std::string> events_list(const CallContext& call) {
  std::string robot;
  uint32_t limit = 100;
  call.fields.text("robot", robot);
  call.fields.bounded("limit", limit, {1, rows_max});
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto events, call.store.episodes().events(txn, robot, limit));
    Reply reply(call.bounds.reply_bytes_max);
    reply.begin_list("events");
    for (const Event& event : events)
      if (!reply.item(event_row(event))) break;
    reply.end_list();
    return reply.finish();
  });
}

Result<std::string> rejected_list(const CallContext& call) {
  uint32_t limit = 100;
  call.fields.bounded("limit", limit, {1, rows_max});
  DROVER_TRY(call.fields.done());
  return call.store.central_env().read([&](const ReadTxn& txn) -> Result<std::string> {
    DROVER_ASSIGN(const auto rejected, call.store.episodes().rejected(txn, limit));
    Reply reply(call.bounds.reply_bytes_max);
    reply.begin_list("rejected");
    for (const auto& r : rejected) {
      const Row row{{"robot", r.origin.robot},
                    {"incarnation", r.origin.incarnation},
                    {"seq", r.origin.seq},
                    {"kind", record_kind_name(r.kind)},
                    {"reason", r.reason}};
      if (!reply.item(row)) break;
    }
    reply.end_list();
    return reply.finish();
  });
}

// The central tables are read before the inbox, so that nothing seems applied that was never durable.
Result<std::string> store_facts(const CallContext& call) {
  DROVER_TRY(call.fields.done());
  const sync::CentralStore& store = call.store;
  Reply reply(call.bounds.reply_bytes_max);
  DROVER_TRY(store.central_env().read([&](const ReadTxn& txn) -> Status {
    DROVER_ASSIGN(const auto counts, store.episodes().counts(txn));
    DROVER_ASSIGN(const uint64_t packs, store.packs().count(txn));
    DROVER_ASSIGN(const auto chunks, store.blobs().totals_in(txn));
    DROVER_ASSIGN(const auto knowledge, store.knowledge_store().newest_in(txn));
    reply.field("counts", counts_row(counts, packs));
    reply.field("chunks", chunks_row(chunks));
    reply.field("knowledge_version", knowledge.version);
    return {};
  }));
  DROVER_ASSIGN(const auto inbox_facts, store.inbox_env().facts());
  DROVER_ASSIGN(const auto central_facts, store.central_env().facts());
  reply.field("inbox", env_row(inbox_facts));
  reply.field("central", env_row(central_facts));
  InboxState state;
  DROVER_TRY(store.inbox_env().read([&](const ReadTxn& txn) -> Status {
    DROVER_ASSIGN(state.streams, store.inbox().streams_in(txn));
    DROVER_ASSIGN(state.quarantined, store.inbox().quarantine_list_in(txn));
    return {};
  }));
  DROVER_TRY(write_streams(reply, store, state));
  return reply.finish();
}

Result<std::string> knowledge_show(const CallContext& call) {
  std::string name;
  call.fields.text("name", name);
  DROVER_TRY(call.fields.done());
  DROVER_ASSIGN(const auto held, call.store.knowledge());
  Reply reply(call.bounds.reply_bytes_max);
  reply.field("version", held.version);
  if (held.version == 0) {
    if (!name.empty()) return fail(Errc::not_found, "name", "no knowledge has been published yet");
    reply.raw("documents", "[]");
    return reply.finish();
  }
  DROVER_ASSIGN(const auto signed_knowledge, decode_signed_knowledge(held.bytes));
  DROVER_ASSIGN(const auto knowledge, decode_knowledge(signed_knowledge.body));
  reply.field("created_unix_ns", knowledge.created_unix_ns);
  reply.field("author", knowledge.author);
  reply.field("key_id", to_hex(ByteView(signed_knowledge.key_id)));
  if (!name.empty()) {
    const auto at = knowledge.documents.find(name);
    if (at == knowledge.documents.end())
      return fail(Errc::not_found, "name", "knowledge has no document '" + name.substr(0, 200) + "'");
    write_document(reply, name, at->second);
    return reply.finish();
  }
  reply.begin_list("documents");
  for (const auto& [title, body] : knowledge.documents)
    if (!reply.item(Row{{"name", title}, {"size_bytes", body.size()}, {"sha256", to_hex(sha256(body.view()))}})) break;
  reply.end_list();
  return reply.finish();
}

}  // namespace drover::fleet
