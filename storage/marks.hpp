// Marks and knowledge: the small tables. Marks remember how far something got (spool files, meta), in the same
// transaction as what it produced. The knowledge store keeps the newest signed documents and a short history.
//
// Invariants: a knowledge version never goes back, and one version never changes its content.
// Both are handles without state of their own: copy freely, use from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/env.hpp"

namespace drover::storage {

inline constexpr size_t mark_key_max_bytes = 480;
inline constexpr size_t mark_value_max_bytes = 1u << 20;

class Marks {
 public:
  static std::vector<std::string> databases();
  static Marks open(const Env& env);

  // Errors: invalid_argument (empty key), too_large.
  Status set_in(WriteTxn& txn, std::string_view key, std::string_view value) const;
  Result<std::optional<std::string>> get_in(const ReadTxn& txn, std::string_view key) const;
  // All marks whose key starts with `prefix`, in key order.
  Result<std::vector<std::pair<std::string, std::string>>> list_in(const ReadTxn& txn, std::string_view prefix) const;
  Result<bool> erase_in(WriteTxn& txn, std::string_view key) const;

 private:
  explicit Marks(Db table) : table_(table) {}
  Db table_;
};

struct HeldKnowledge {
  uint64_t version = 0;  // 0: none yet
  Bytes bytes;           // encoded SignedKnowledge
};

class KnowledgeStore {
 public:
  static std::vector<std::string> databases();
  static KnowledgeStore open(const Env& env);

  // Stores `bytes` as `version` if that is newer than what is held, and forgets all but the newest history_max.
  // The caller has checked the signature. The same version with the same bytes is accepted silently.
  // Returns the version held afterwards. Errors: conflict (same version, other bytes), refused (older),
  // invalid_argument (version 0).
  Result<uint64_t> apply_in(WriteTxn& txn, uint64_t version, ByteView bytes, uint32_t history_max = 8) const;
  Result<HeldKnowledge> newest_in(const ReadTxn& txn) const;
  Result<std::optional<Bytes>> get_in(const ReadTxn& txn, uint64_t version) const;
  // Ascending.
  Result<std::vector<uint64_t>> versions_in(const ReadTxn& txn) const;

 private:
  explicit KnowledgeStore(Db table) : table_(table) {}
  Db table_;
};

}  // namespace drover::storage
