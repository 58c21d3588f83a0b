#include "storage/episode_store.hpp"

#include <algorithm>

#include "storage/fields.hpp"
#include "storage/keys.hpp"

namespace drover::storage {
namespace {

Key origin_key(const RecordOrigin& origin) {
  return Key().text(origin.robot).u64(origin.incarnation).u64(origin.seq);
}

bool fits(const Episode& e, const EpisodeFilter& f) {
  if (!f.robot.empty() && e.robot != f.robot) return false;
  if (!f.task_name.empty() && e.task_name != f.task_name) return false;
  if (!f.outcome.empty() && e.outcome != f.outcome) return false;
  if (f.from_unix_ns && e.start_unix_ns < *f.from_unix_ns) return false;
  if (f.until_unix_ns && e.start_unix_ns > *f.until_unix_ns) return false;
  return f.event.empty() || std::any_of(e.events.begin(), e.events.end(),
                                        [&](const EpisodeEvent& event) { return event.kind == f.event; });
}

}  // namespace

std::vector<std::string> EpisodeStore::databases() {
  return {"episodes", "episodes_by_time", "node_events", "receipts", "enrichments", "outcomes", "rejected"};
}

EpisodeStore::EpisodeStore(const Env& env)
    : episodes_(env.db("episodes")),
      by_time_(env.db("episodes_by_time")),
      events_(env.db("node_events")),
      receipts_(env.db("receipts")),
      enrichments_(env.db("enrichments")),
      outcomes_(env.db("outcomes")),
      rejected_(env.db("rejected")) {}

Status EpisodeStore::put_once(WriteTxn& txn, Db db, ByteView key, ByteView flat, const std::string& what) const {
  DROVER_ASSIGN(const auto present, txn.get(db, key));
  if (!present) return txn.put(db, key, flat);
  if (present->size() == flat.size() && std::equal(flat.begin(), flat.end(), present->begin())) return {};
  return fail(Errc::conflict, what, "is already stored with other content");
}

Status EpisodeStore::put_episode(WriteTxn& txn, const Episode& episode, ByteView flat) const {
  const Key key = Key().text(episode.robot).text(episode.episode_id);
  DROVER_TRY(put_once(txn, episodes_, key, flat, "episode " + episode.robot + "/" + episode.episode_id));
  const std::byte mark{1};
  return txn.put(by_time_, Key().i64(episode.start_unix_ns).text(episode.robot).text(episode.episode_id),
                 ByteView(&mark, 1));
}

Status EpisodeStore::put_event(WriteTxn& txn, const RecordOrigin& origin, ByteView flat) const {
  return put_once(txn, events_, origin_key(origin), flat, "event");
}

Status EpisodeStore::put_receipt(WriteTxn& txn, const RecordOrigin& origin, const Receipt& receipt,
                                 ByteView flat) const {
  const Key key = Key().raw(receipt.hash).text(origin.robot).u64(origin.incarnation).u64(origin.seq);
  return put_once(txn, receipts_, key, flat, "receipt");
}

Status EpisodeStore::put_enrichment(WriteTxn& txn, const RecordOrigin& origin, const Enrichment& value,
                                    ByteView flat) const {
  const Key key = Key().text(value.pack_id).text(origin.robot).u64(origin.incarnation).u64(origin.seq);
  return put_once(txn, enrichments_, key, flat, "enrichment");
}

Status EpisodeStore::for_each_enrichment(const ReadTxn& txn, std::string_view pack_id,
                                         const std::function<Result<bool>(ByteView flat)>& visit) const {
  return txn.for_each(enrichments_, Key().text(pack_id), [&](ByteView, ByteView flat) { return visit(flat); });
}

Status EpisodeStore::put_outcome(WriteTxn& txn, const RecordOrigin& origin, const Outcome& value, ByteView flat) const {
  const Key key = Key().text(value.pack_id).text(origin.robot).u64(origin.incarnation).u64(origin.seq);
  return put_once(txn, outcomes_, key, flat, "outcome");
}

Status EpisodeStore::put_rejected(WriteTxn& txn, const RejectedRecord& record, ByteView payload) const {
  RowWriter row;
  row.u32(static_cast<uint32_t>(record.kind)).text(record.reason).raw(payload);
  return put_once(txn, rejected_, origin_key(record.origin), row, "rejected record");
}

Result<std::optional<Episode>> EpisodeStore::episode(const ReadTxn& txn, const std::string& robot,
                                                     const std::string& id) const {
  DROVER_ASSIGN(const auto flat, txn.get(episodes_, Key().text(robot).text(id)));
  if (!flat) return std::optional<Episode>();
  DROVER_ASSIGN(auto episode, decode_episode(*flat));
  return std::optional<Episode>(std::move(episode));
}

Result<std::vector<Episode>> EpisodeStore::episodes(const ReadTxn& txn, const EpisodeFilter& filter) const {
  std::vector<Episode> found;
  Cursor cursor = txn.cursor(by_time_);
  Result<bool> at = filter.newest_first
                        ? (filter.until_unix_ns && *filter.until_unix_ns < INT64_MAX
                               ? cursor.at_most(Key().i64(*filter.until_unix_ns + 1))
                               : cursor.last())
                        : (filter.from_unix_ns ? cursor.at_least(Key().i64(*filter.from_unix_ns)) : cursor.first());
  for (;; at = filter.newest_first ? cursor.previous() : cursor.next()) {
    if (!at) return tl::unexpected(at.error());
    if (!*at || found.size() >= filter.limit) return found;
    KeyReader key(cursor.key());
    const int64_t start_unix_ns = key.i64();
    if (filter.newest_first && filter.from_unix_ns && start_unix_ns < *filter.from_unix_ns) return found;
    if (!filter.newest_first && filter.until_unix_ns && start_unix_ns > *filter.until_unix_ns) return found;
    const std::string robot(key.text());
    const std::string id(key.text());
    if (!filter.robot.empty() && robot != filter.robot) continue;
    DROVER_ASSIGN(auto stored, episode(txn, robot, id));
    if (!stored) return fail(Errc::corrupt, "episodes_by_time", "names an episode that is not stored: " + id);
    if (fits(*stored, filter)) found.push_back(std::move(*stored));
  }
}

Status EpisodeStore::for_each_episode(const ReadTxn& txn,
                                      const std::function<Result<bool>(const Episode&)>& visit) const {
  return txn.for_each(episodes_, {}, [&](ByteView, ByteView value) -> Result<bool> {
    DROVER_ASSIGN(const auto episode, decode_episode(value));
    return visit(episode);
  });
}

Status EpisodeStore::for_each_receipt(const ReadTxn& txn,
                                      const std::function<Result<bool>(const Receipt&)>& visit) const {
  return txn.for_each(receipts_, {}, [&](ByteView, ByteView value) -> Result<bool> {
    DROVER_ASSIGN(const auto receipt, decode_receipt(value));
    return visit(receipt);
  });
}

Result<std::vector<Event>> EpisodeStore::events(const ReadTxn& txn, const std::string& robot, uint32_t limit) const {
  std::vector<Event> found;
  const Key prefix = robot.empty() ? Key() : Key().text(robot);
  DROVER_TRY(
      txn.for_each(events_, robot.empty() ? ByteView() : prefix.view(), [&](ByteView, ByteView value) -> Result<bool> {
        if (found.size() >= limit) return false;
        DROVER_ASSIGN(auto event, decode_event(value));
        found.push_back(std::move(event));
        return true;
      }));
  return found;
}

Result<std::vector<RejectedRecord>> EpisodeStore::rejected(const ReadTxn& txn, uint32_t limit) const {
  std::vector<RejectedRecord> found;
  DROVER_TRY(txn.for_each(rejected_, {}, [&](ByteView key_bytes, ByteView value) -> Result<bool> {
    if (found.size() >= limit) return false;
    RejectedRecord record;
    KeyReader key(key_bytes);
    record.origin.robot = std::string(key.text());
    record.origin.incarnation = key.u64();
    record.origin.seq = key.u64();
    RowReader row(value);
    record.kind = static_cast<RecordKind>(row.u32());
    record.reason = row.text();
    if (!key.done() || !row.ok()) return fail(Errc::corrupt, "rejected", "malformed row");
    found.push_back(std::move(record));
    return true;
  }));
  return found;
}

Result<EpisodeStore::Counts> EpisodeStore::counts(const ReadTxn& txn) const {
  Counts c;
  DROVER_ASSIGN(c.episodes, txn.count(episodes_));
  DROVER_ASSIGN(c.events, txn.count(events_));
  DROVER_ASSIGN(c.receipts, txn.count(receipts_));
  DROVER_ASSIGN(c.enrichments, txn.count(enrichments_));
  DROVER_ASSIGN(c.outcomes, txn.count(outcomes_));
  DROVER_ASSIGN(c.rejected, txn.count(rejected_));
  return c;
}

}  // namespace drover::storage
