#include "storage/ledger_store.hpp"

#include <algorithm>
#include <cctype>
#include <limits>
#include <map>

#include "messages/buggify.hpp"
#include "storage/fields.hpp"
#include "storage/keys.hpp"

namespace drover::storage {
namespace {

constexpr uint32_t posting_version = 1;
constexpr size_t text_max_bytes = 400;
constexpr std::string_view totals_key = "totals";

using AccountId = std::pair<std::string, std::string>;  // account, currency

bool name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '@' || c == ':' || c == '-';
}

bool good_account(std::string_view account) {
  if (account.empty() || account.size() > account_max_bytes) return false;
  bool open = true;  // a part must not be empty
  for (const char c : account) {
    if (c == '/' ? open : !name_char(c)) return false;
    open = c == '/';
  }
  return !open;
}

bool good_currency(std::string_view currency) {
  return currency.size() == 3 &&
         std::all_of(currency.begin(), currency.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool good_kind(std::string_view kind) {
  return !kind.empty() && kind.size() <= 32 &&
         std::all_of(kind.begin(), kind.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

Status bad(std::string field, std::string what) {
  return fail(Errc::invalid_argument, "posting." + std::move(field), std::move(what));
}

Key journal_key(int64_t time_unix_ns, const Hash& id) {
  Key key;
  key.i64(time_unix_ns).raw(id);
  return key;
}

Key balance_key(std::string_view account, std::string_view currency) {
  Key key;
  key.text(account).text(currency);
  return key;
}

void put_wide(RowWriter& row, Wide value) {
  row.u64(static_cast<uint64_t>(value)).i64(static_cast<int64_t>(value >> 64));
}
Wide get_wide(RowReader& row) {
  const uint64_t low = row.u64();
  const int64_t high = row.i64();
  return (static_cast<Wide>(high) << 64) | static_cast<Wide>(low);
}

RowWriter balance_row(const Balance& b) {
  RowWriter row;
  put_wide(row, b.micro);
  put_wide(row, b.given_micro);
  row.u64(b.postings);
  return row;
}

Result<Balance> balance_of(ByteView key, ByteView value) {
  KeyReader names(key);
  Balance b;
  b.account = names.text();
  b.currency = names.text();
  RowReader row(value);
  b.micro = get_wide(row);
  b.given_micro = get_wide(row);
  b.postings = row.u64();
  if (!names.done() || !row.done()) return fail(Errc::corrupt, "ledger_balances " + to_hex(key), "odd row");
  return b;
}

RowWriter totals_row(const LedgerTotals& totals) {
  RowWriter row;
  row.u64(totals.postings).hash(totals.digest);
  return row;
}

// sum += id modulo 2^256, least significant byte first.
void add_id(Hash& sum, const Hash& id) {
  unsigned carry = 0;
  for (size_t i = 0; i < sum.size(); ++i) {
    carry += static_cast<unsigned>(sum[i]) + static_cast<unsigned>(id[i]);
    sum[i] = static_cast<std::byte>(carry & 0xff);
    carry >>= 8;
  }
}

void take(Balance& b, const LedgerEntry& e) {
  b.account = e.account;
  b.currency = e.currency;
  b.micro += e.amount_micro;
  if (e.amount_micro < 0) b.given_micro -= e.amount_micro;
  ++b.postings;
}

std::string text_of(const Balance& b) {
  return micro_text(b.micro) + " " + b.currency + " in " + std::to_string(b.postings) + " postings";
}

Hash id_of(const Posting& p, ByteView encoded) {
  if (!buggify::bug(buggify::Bug::posting_id_ignores_content)) return sha256(encoded);
  Posting bare{p.time_unix_ns, p.kind, {}, {}, p.entries};
  for (LedgerEntry& e : bare.entries) e.amount_micro = 1;
  return sha256(encode_posting(bare));
}

using Books = std::map<AccountId, Balance>;

// What the journal makes of the accounts.
struct Derived {
  Books books;
  LedgerTotals totals;
  std::string odd;  // first posting that should not be there
};

Result<Derived> derive(const LedgerStore& store, const ReadTxn& txn) {
  Derived d;
  DROVER_TRY(store.for_each(txn, {}, [&](const Hash& id, const Posting& p) -> Result<bool> {
    const Status good = validate(p);
    if (d.odd.empty() && !good) d.odd = "posting " + to_hex(id) + ": " + good.error().message();
    if (d.odd.empty() && posting_id(p) != id)
      d.odd = "posting " + to_hex(id) + ": its content has the identity " + to_hex(posting_id(p));
    for (const LedgerEntry& e : p.entries) take(d.books[{e.account, e.currency}], e);
    ++d.totals.postings;
    add_id(d.totals.digest, id);
    return true;
  }));
  return d;
}

std::string first_difference(const Derived& derived, const std::vector<Balance>& stored, const LedgerTotals& totals) {
  if (!derived.odd.empty()) return derived.odd;
  Books left = derived.books;
  for (const Balance& b : stored) {
    const auto found = left.find({b.account, b.currency});
    const Balance want = found == left.end() ? Balance{b.account, b.currency, 0, 0, 0} : found->second;
    if (want != b) return "account " + b.account + " holds " + text_of(b) + ", its postings make it " + text_of(want);
    if (found != left.end()) left.erase(found);
  }
  if (!left.empty())
    return "account " + left.begin()->first.first + " is missing, its postings make it " +
           text_of(left.begin()->second);
  std::map<std::string, Wide> sums;
  for (const Balance& b : stored) sums[b.currency] += b.micro;
  for (const auto& [currency, sum] : sums)
    if (sum != 0) return "balances in " + currency + " sum to " + micro_text(sum) + " and not to zero";
  if (totals != derived.totals)
    return "the books say " + std::to_string(totals.postings) + " postings with digest " + to_hex(totals.digest) +
           ", the journal holds " + std::to_string(derived.totals.postings) + " with " + to_hex(derived.totals.digest);
  return {};
}

}  // namespace

Status validate(const Posting& p) {
  if (!good_kind(p.kind)) return bad("kind", "needs 1 to 32 of a-z and '_'");
  if (p.reference.empty() || p.reference.size() > text_max_bytes) return bad("reference", "needs 1 to 400 bytes");
  if (p.memo.size() > text_max_bytes) return bad("memo", "is over 400 bytes");
  if (p.entries.size() < 2 || p.entries.size() > posting_entries_max) return bad("entries", "needs 2 to 64 of them");
  std::map<std::string, Wide> sums;
  for (size_t i = 0; i < p.entries.size(); ++i) {
    const LedgerEntry& e = p.entries[i];
    const std::string at = "entries[" + std::to_string(i) + "]";
    if (!good_account(e.account)) return bad(at + ".account", "needs 1 to 128 letters, digits or . _ @ : - in parts");
    if (!good_currency(e.currency)) return bad(at + ".currency", "needs three capital letters");
    if (e.amount_micro == 0) return bad(at + ".amount_micro", "is zero");
    if (i > 0 && AccountId(e.account, e.currency) <= AccountId(p.entries[i - 1].account, p.entries[i - 1].currency))
      return bad(at, "is out of order, or there twice");
    sums[e.currency] += e.amount_micro;
  }
  for (const auto& [currency, sum] : sums)
    if (sum != 0 && !buggify::bug(buggify::Bug::true_up_unbalanced))
      return bad("entries", "sum to " + micro_text(sum) + " " + currency + " and not to zero");
  return {};
}

Posting normalised(Posting p) {
  std::map<AccountId, Wide> sums;
  for (const LedgerEntry& e : p.entries) sums[{e.account, e.currency}] += e.amount_micro;
  p.entries.clear();
  constexpr Wide low = std::numeric_limits<int64_t>::min(), high = std::numeric_limits<int64_t>::max();
  for (const auto& [id, amount] : sums)  // one that does not fit makes the posting unbalanced: validate() says so
    if (amount != 0) p.entries.push_back({id.first, id.second, static_cast<int64_t>(std::clamp(amount, low, high))});
  return p;
}

Bytes encode_posting(const Posting& p) {
  RowWriter row;
  row.u32(posting_version).i64(p.time_unix_ns).text(p.kind).text(p.reference).text(p.memo);
  row.u32(static_cast<uint32_t>(p.entries.size()));
  for (const LedgerEntry& e : p.entries) row.text(e.account).text(e.currency).i64(e.amount_micro);
  return Bytes::copy_of(row);
}

Result<Posting> decode_posting(ByteView bytes) {
  RowReader row(bytes);
  if (const uint32_t version = row.u32(); row.ok() && version != posting_version)
    return fail(Errc::unsupported_version, "posting", "version " + std::to_string(version));
  Posting p;
  p.time_unix_ns = row.i64();
  p.kind = row.text();
  p.reference = row.text();
  p.memo = row.text();
  const uint32_t count = row.u32();
  if (row.ok() && count > posting_entries_max) return fail(Errc::corrupt, "posting", "has too many entries");
  for (uint32_t i = 0; i < count && row.ok(); ++i) {
    LedgerEntry e;
    e.account = row.text();
    e.currency = row.text();
    e.amount_micro = row.i64();
    p.entries.push_back(std::move(e));
  }
  if (!row.ok()) return fail(Errc::truncated, "posting", "ends too early");
  if (!row.done()) return fail(Errc::corrupt, "posting", "has bytes after its end");
  return p;
}

Hash posting_id(const Posting& posting) {
  return id_of(posting, encode_posting(posting));
}

std::vector<std::string> LedgerStore::databases() {
  return {"ledger_journal", "ledger_balances", "ledger_totals"};
}

LedgerStore::LedgerStore(const Env& env)
    : journal_(env.db("ledger_journal")), balances_(env.db("ledger_balances")), totals_(env.db("ledger_totals")) {}

Result<PostOutcome> LedgerStore::post_in(WriteTxn& txn, std::span<const Posting> postings) const {
  for (const Posting& p : postings) DROVER_TRY(validate(p));
  DROVER_ASSIGN(LedgerTotals now, totals(txn));
  PostOutcome outcome;
  Books changes;
  for (const Posting& p : postings) {
    const Bytes bytes = encode_posting(p);
    const Hash id = id_of(p, bytes);
    const Key key = journal_key(p.time_unix_ns, id);
    DROVER_ASSIGN(const auto held, txn.get(journal_, key));
    if (held) {
      ++outcome.known;
      continue;
    }
    DROVER_TRY(txn.put(journal_, key, bytes));
    for (const LedgerEntry& e : p.entries) take(changes[{e.account, e.currency}], e);
    add_id(now.digest, id);
    ++now.postings;
    ++outcome.posted;
  }
  if (outcome.posted == 0) return outcome;
  // What is really written must balance, whatever came before.
  std::map<std::string, Wide> moved;
  for (const auto& [id, change] : changes) {
    DROVER_ASSIGN(const auto before, balance(txn, id.first, id.second));
    Balance after = before.value_or(Balance{id.first, id.second, 0, 0, 0});
    after.micro += change.micro;
    after.given_micro += change.given_micro;
    after.postings += change.postings;
    DROVER_TRY(txn.put(balances_, balance_key(id.first, id.second), balance_row(after)));
    moved[id.second] += after.micro - (before ? before->micro : 0);
  }
  for (const auto& [currency, sum] : moved)
    if (sum != 0 && !buggify::bug(buggify::Bug::true_up_unbalanced))
      return fail(Errc::internal, "ledger",
                  "postings would move " + micro_text(sum) + " " + currency + " out of the books");
  DROVER_TRY(txn.put(totals_, as_bytes(totals_key), totals_row(now)));
  return outcome;
}

Result<std::optional<Balance>> LedgerStore::balance(const ReadTxn& txn, std::string_view account,
                                                    std::string_view currency) const {
  const Key key = balance_key(account, currency);
  DROVER_ASSIGN(const auto value, txn.get(balances_, key));
  if (!value) return std::optional<Balance>();
  DROVER_ASSIGN(Balance b, balance_of(key, *value));
  return std::optional(std::move(b));
}

Result<std::vector<Balance>> LedgerStore::balances(const ReadTxn& txn) const {
  std::vector<Balance> all;
  DROVER_TRY(txn.for_each(balances_, {}, [&](ByteView key, ByteView value) -> Result<bool> {
    DROVER_ASSIGN(Balance b, balance_of(key, value));
    all.push_back(std::move(b));
    return true;
  }));
  return all;
}

Result<LedgerTotals> LedgerStore::totals(const ReadTxn& txn) const {
  DROVER_ASSIGN(const auto value, txn.get(totals_, as_bytes(totals_key)));
  LedgerTotals totals;
  if (!value) return totals;
  RowReader row(*value);
  totals.postings = row.u64();
  totals.digest = row.hash();
  if (!row.done()) return fail(Errc::corrupt, "ledger_totals", "odd row");
  return totals;
}

Status LedgerStore::for_each(const ReadTxn& txn, const PostingFilter& filter,
                             const std::function<Result<bool>(const Hash&, const Posting&)>& visit) const {
  Cursor at = txn.cursor(journal_);
  Key from;
  from.i64(filter.from_unix_ns.value_or(std::numeric_limits<int64_t>::min()));
  DROVER_ASSIGN(bool more, at.at_least(from));
  while (more) {
    KeyReader key(at.key());
    const int64_t time_unix_ns = key.i64();
    const ByteView id_bytes = key.raw(sizeof(Hash));
    if (!key.done()) return fail(Errc::corrupt, "ledger_journal " + to_hex(at.key()), "odd key");
    if (filter.until_unix_ns && time_unix_ns >= *filter.until_unix_ns) return {};
    Hash id{};
    std::copy(id_bytes.begin(), id_bytes.end(), id.begin());
    DROVER_ASSIGN(const ByteView value, at.value());
    DROVER_ASSIGN(const Posting posting, decode_posting(value));
    const bool fits =
        (filter.kind.empty() || posting.kind == filter.kind) &&
        (filter.account.empty() || std::any_of(posting.entries.begin(), posting.entries.end(),
                                               [&](const auto& e) { return e.account == filter.account; }));
    if (fits) {
      DROVER_ASSIGN(const bool go_on, visit(id, posting));
      if (!go_on) return {};
    }
    DROVER_ASSIGN(more, at.next());
  }
  return {};
}

Result<LedgerVerdict> LedgerStore::verify(const ReadTxn& txn) const {
  DROVER_ASSIGN(const Derived derived, derive(*this, txn));
  DROVER_ASSIGN(const auto stored, balances(txn));
  DROVER_ASSIGN(const LedgerTotals totals, this->totals(txn));
  return LedgerVerdict{derived.totals.postings, stored.size(), first_difference(derived, stored, totals)};
}

std::string micro_text(Wide micro) {
  const bool negative = micro < 0;
  __extension__ typedef unsigned __int128 Magnitude;
  auto rest = negative ? Magnitude{0} - static_cast<Magnitude>(micro) : static_cast<Magnitude>(micro);
  std::string digits;
  for (int i = 0; i < 6 || rest != 0 || i == 6; ++i) {
    if (i == 6) digits.push_back('.');
    digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
    rest /= 10;
  }
  if (negative) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace drover::storage
