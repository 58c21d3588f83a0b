#include "storage/marks.hpp"

#include <algorithm>

#include "messages/buggify.hpp"
#include "messages/hash.hpp"
#include "storage/keys.hpp"

namespace drover::storage {

std::vector<std::string> Marks::databases() {
  return {"marks"};
}

Marks Marks::open(const Env& env) {
  return Marks(env.db("marks"));
}

Status Marks::set_in(WriteTxn& txn, std::string_view key, std::string_view value) const {
  if (key.empty()) return fail(Errc::invalid_argument, "mark", "empty key");
  if (key.size() > mark_key_max_bytes || value.size() > mark_value_max_bytes)
    return fail(Errc::too_large, "mark " + std::string(key.substr(0, 80)), "key over 480 bytes or value over 1 MiB");
  return txn.put(table_, as_bytes(key), as_bytes(value));
}

Result<std::optional<std::string>> Marks::get_in(const ReadTxn& txn, std::string_view key) const {
  DROVER_ASSIGN(const auto value, txn.get(table_, as_bytes(key)));
  if (!value) return std::nullopt;
  return std::string(as_text(*value));
}

Result<std::vector<std::pair<std::string, std::string>>> Marks::list_in(const ReadTxn& txn,
                                                                        std::string_view prefix) const {
  std::vector<std::pair<std::string, std::string>> all;
  DROVER_TRY(txn.for_each(table_, as_bytes(prefix), [&](ByteView key, ByteView value) -> Result<bool> {
    all.emplace_back(as_text(key), as_text(value));
    return true;
  }));
  return all;
}

Result<bool> Marks::erase_in(WriteTxn& txn, std::string_view key) const {
  return txn.erase(table_, as_bytes(key));
}

std::vector<std::string> KnowledgeStore::databases() {
  return {"knowledge"};
}

KnowledgeStore KnowledgeStore::open(const Env& env) {
  return KnowledgeStore(env.db("knowledge"));
}

Result<uint64_t> KnowledgeStore::apply_in(WriteTxn& txn, uint64_t version, ByteView bytes, uint32_t history_max) const {
  const std::string where = "knowledge version " + std::to_string(version);
  if (version == 0) return fail(Errc::invalid_argument, where, "versions begin at 1");
  DROVER_ASSIGN(const HeldKnowledge held, newest_in(txn));
  if (version < held.version && !buggify::bug(buggify::Bug::knowledge_goes_back))
    return fail(Errc::refused, where, "version " + std::to_string(held.version) + " is held already");
  if (version == held.version) {
    if (std::ranges::equal(held.bytes.view(), bytes)) return version;
    return fail(Errc::conflict, where, "is held with other content");
  }
  Key key;
  key.u64(version);
  DROVER_TRY(txn.put(table_, key, bytes));
  DROVER_ASSIGN(const auto versions, versions_in(txn));
  const size_t keep = std::max<uint32_t>(history_max, 1);
  if (version < held.version)
    for (const uint64_t newer : versions) {
      Key key_newer;
      key_newer.u64(newer);
      if (newer > version) DROVER_TRY(txn.erase(table_, key_newer));
    }
  for (size_t i = 0; i + keep < versions.size(); ++i) {
    Key old;
    old.u64(versions[i]);
    DROVER_TRY(txn.erase(table_, old));
  }
  return version;
}

Result<HeldKnowledge> KnowledgeStore::newest_in(const ReadTxn& txn) const {
  Cursor at = txn.cursor(table_);
  DROVER_ASSIGN(const bool any, at.last());
  HeldKnowledge held;
  if (!any) return held;
  KeyReader reader(at.key());
  held.version = reader.u64();
  if (!reader.done()) return fail(Errc::corrupt, "knowledge " + to_hex(at.key()), "odd key");
  DROVER_ASSIGN(const ByteView value, at.value());
  held.bytes = Bytes::copy_of(value);
  return held;
}

Result<std::optional<Bytes>> KnowledgeStore::get_in(const ReadTxn& txn, uint64_t version) const {
  Key key;
  key.u64(version);
  DROVER_ASSIGN(const auto value, txn.get(table_, key));
  if (!value) return std::nullopt;
  return Bytes::copy_of(*value);
}

Result<std::vector<uint64_t>> KnowledgeStore::versions_in(const ReadTxn& txn) const {
  std::vector<uint64_t> versions;
  Cursor at = txn.cursor(table_);
  DROVER_ASSIGN(bool more, at.first());
  while (more) {
    KeyReader reader(at.key());
    versions.push_back(reader.u64());
    DROVER_ASSIGN(more, at.next());
  }
  return versions;
}

}  // namespace drover::storage
