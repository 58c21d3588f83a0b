// LedgerStore: an append-only double-entry journal in integer micro-units, and the balances that follow from it.
// ledger.md documents the tables with a worked example.
//
// Invariants
// - A posting is never changed or erased. Its identity is the hash of its content: posting it again changes nothing.
// - The entries of a posting sum to zero in every currency, and so do all balances after every commit: that is checked
//   inside the transaction, which fails otherwise.
// - The tables hold the same bytes for the same set of postings, in whatever order, batches and repetitions they came.
// Threads: a value over table handles; every call happens inside the caller's transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "messages/hash.hpp"
#include "messages/result.hpp"
#include "storage/env.hpp"

namespace drover::storage {

__extension__ typedef __int128 Wide;  // balances: no sum of 64-bit amounts leaves it

inline constexpr size_t posting_entries_max = 64;
inline constexpr size_t account_max_bytes = 128;

struct LedgerEntry {
  std::string account;       // "customer/plant-a", "platform", "data_pool": [A-Za-z0-9._@:-] in parts between '/'
  std::string currency;      // three capital letters: "USD"
  int64_t amount_micro = 0;  // + the account receives, - it gives; not 0
  bool operator==(const LedgerEntry&) const = default;
};

struct Posting {
  int64_t time_unix_ns = 0;          // of the fact it follows from; no wall clock
  std::string kind;                  // quote | true_up | reversal | ...: [a-z_]{1,32}
  std::string reference;             // makes equal amounts different postings: pack, customer, ids; 1..400 bytes
  std::string memo;                  // for people; at most 400 bytes
  std::vector<LedgerEntry> entries;  // 2 .. posting_entries_max, in order of account and currency, none twice
  bool operator==(const Posting&) const = default;
};

// Errors: invalid_argument (what is wrong: bounds, order, does not sum to zero in a currency).
Status validate(const Posting& posting);
// Orders entries, joins those of one account and currency, drops those that are zero.
Posting normalised(Posting posting);
// SHA-256 of encode_posting().
Hash posting_id(const Posting& posting);
Bytes encode_posting(const Posting& posting);
Result<Posting> decode_posting(ByteView bytes);  // Errors: corrupt, truncated

struct Balance {
  std::string account;
  std::string currency;
  Wide micro = 0;         // received - given
  Wide given_micro = 0;   // sum of what it gave, as a positive number
  uint64_t postings = 0;  // that touch it
  bool operator==(const Balance&) const = default;
};

struct LedgerTotals {
  uint64_t postings = 0;
  Hash digest{};  // sum of all posting ids modulo 2^256: the same for the same set in any order
  bool operator==(const LedgerTotals&) const = default;
};

struct PostOutcome {
  uint64_t posted = 0;
  uint64_t known = 0;  // were there before
};

struct PostingFilter {
  std::string account;  // empty: any
  std::string kind;     // empty: any
  std::optional<int64_t> from_unix_ns;
  std::optional<int64_t> until_unix_ns;
};

struct LedgerVerdict {
  uint64_t postings = 0;
  uint64_t accounts = 0;
  std::string difference;  // the first one found, in words; empty: the books are right
};

class LedgerStore {
 public:
  // Names for EnvOptions::databases.
  static std::vector<std::string> databases();
  explicit LedgerStore(const Env& env);

  // Posts all or none. Errors: invalid_argument (nothing changed), internal (the books would not balance: the
  // transaction must fail), corrupt, those of put.
  Result<PostOutcome> post_in(WriteTxn& txn, std::span<const Posting> postings) const;

  Result<std::optional<Balance>> balance(const ReadTxn& txn, std::string_view account, std::string_view currency) const;
  Result<std::vector<Balance>> balances(const ReadTxn& txn) const;  // in order of account and currency
  Result<LedgerTotals> totals(const ReadTxn& txn) const;
  // In order of time and id, until `visit` returns false or an error.
  Status for_each(const ReadTxn& txn, const PostingFilter& filter,
                  const std::function<Result<bool>(const Hash& id, const Posting& posting)>& visit) const;
  // Derives every balance, the count and the digest again from the journal and compares. An error only when the journal
  // cannot be read; a difference is an answer.
  Result<LedgerVerdict> verify(const ReadTxn& txn) const;

 private:
  Db journal_;   // time, id -> posting
  Db balances_;  // account, currency -> balance
  Db totals_;    // one row
};

// "-12.345678", all six digits.
std::string micro_text(Wide micro);

}  // namespace drover::storage
