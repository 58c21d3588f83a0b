// The ledger: the same books for the same postings, whatever happened on the way; and what is refused.
#include <algorithm>
#include <map>
#include <random>

#include "storage/fields.hpp"
#include "storage/keys.hpp"
#include "storage/ledger_store.hpp"
#include "tests/storage/temp_store.hpp"

namespace drover::storage {
namespace {

using test::must;
using test::options_for;
using test::TempDir;

Posting simple(int64_t time, std::string reference, int64_t amount) {
  return normalised(
      {time, "quote", std::move(reference), "", {{"customer/a", "USD", -amount}, {"platform", "USD", amount}}});
}

// Postings as a year would bring them: several currencies, several legs, equal amounts, extreme amounts.
std::vector<Posting> history(uint64_t seed, size_t count) {
  std::mt19937_64 rng(seed);
  std::vector<Posting> all;
  const char* currencies[] = {"USD", "EUR", "CHF"};
  while (all.size() < count) {
    Posting p;
    p.time_unix_ns = static_cast<int64_t>(rng() % 50) * 1'000'000'000 - 10'000'000'000;
    p.kind = rng() % 2 == 0 ? "quote" : "true_up";
    p.reference = "fact-" + std::to_string(all.size());
    for (size_t legs = 1 + rng() % 3; legs > 0; --legs) {
      const std::string currency = currencies[rng() % 3];
      const int64_t amount =
          rng() % 50 == 0 ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(rng() % 5'000'000'000) + 1;
      p.entries.push_back({"customer/" + std::to_string(rng() % 7), currency, -amount});
      p.entries.push_back({rng() % 2 == 0 ? "platform" : "data_pool", currency, amount});
    }
    p = normalised(std::move(p));
    if (validate(p)) all.push_back(std::move(p));
  }
  return all;
}

// Everything the tables hold, as bytes.
std::string books(const Env& env) {
  return must(env.read([&](const ReadTxn& txn) -> Result<std::string> {
    std::string out;
    for (const std::string& name : LedgerStore::databases())
      DROVER_TRY(txn.for_each(env.db(name), {}, [&](ByteView key, ByteView value) -> Result<bool> {
        out.append(name).append(" ").append(to_hex(key)).append(" ").append(to_hex(value)).append("\n");
        return true;
      }));
    return out;
  }));
}

Status post(Env& env, std::span<const Posting> postings) {
  return env.write([&](WriteTxn& txn) -> Status {
    DROVER_ASSIGN(const auto outcome, LedgerStore(env).post_in(txn, postings));
    (void)outcome;
    return {};
  });
}

LedgerVerdict verdict(const Env& env) {
  return must(env.read([&](const ReadTxn& txn) { return LedgerStore(env).verify(txn); }));
}

void check_zero(const Env& env) {
  std::map<std::string, Wide> sums;
  for (const Balance& b : must(env.read([&](const ReadTxn& txn) { return LedgerStore(env).balances(txn); })))
    sums[b.currency] += b.micro;
  for (const auto& [currency, sum] : sums) CHECK_MESSAGE(sum == 0, currency);
}

}  // namespace

TEST_CASE("storage/ledger: any order, repetition and restarts give the same bytes, and zero after every commit") {
  const auto all = history(41, 400);
  std::string expected;
  for (uint64_t round = 0; round < 10; ++round) {
    CAPTURE(round);
    std::mt19937_64 rng(round);
    std::vector<Posting> shuffled = all;
    for (size_t i = 0; i < 120; ++i) shuffled.push_back(all[rng() % all.size()]);
    if (round > 0) std::shuffle(shuffled.begin(), shuffled.end(), rng);
    TempDir dir;
    auto env = std::make_unique<Env>(must(Env::open(options_for(dir.store(), LedgerStore::databases()))));
    for (size_t at = 0; at < shuffled.size();) {
      const size_t size = std::min<size_t>(1 + rng() % 40, shuffled.size() - at);
      must(post(*env, std::span(shuffled).subspan(at, size)));
      check_zero(*env);
      at += size;
      if (rng() % 6 == 0) {
        env.reset();
        env = std::make_unique<Env>(must(Env::open(options_for(dir.store(), LedgerStore::databases()))));
      }
    }
    CHECK(verdict(*env).difference == "");
    CHECK(verdict(*env).postings == all.size());
    const std::string got = books(*env);
    if (round == 0) expected = got;
    CHECK(got == expected);
  }
}

TEST_CASE("storage/ledger: what does not balance, or is named badly, is refused and changes nothing") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), LedgerStore::databases())));
  must(post(env, std::vector{simple(1, "one", 5)}));
  const std::string before = books(env);
  const auto refused = [&](Posting p, const std::string& field) {
    CAPTURE(field);
    const auto status = post(env, std::vector{simple(2, "two", 7), std::move(p)});
    REQUIRE(!status);
    CHECK(status.error().code == Errc::invalid_argument);
    CHECK(status.error().where == "posting." + field);
    CHECK(books(env) == before);
  };
  Posting p = simple(1, "x", 5);
  p.entries[0].amount_micro = -4;
  refused(p, "entries");
  p = simple(1, "x", 5);
  p.entries[1].currency = "EUR";
  refused(p, "entries");
  p = simple(1, "x", 5);
  std::swap(p.entries[0], p.entries[1]);
  refused(p, "entries[1]");
  p = simple(1, "x", 5);
  p.entries[0].account = "customer//a";
  refused(p, "entries[0].account");
  p = simple(1, "x", 5);
  p.entries[0].account = std::string("a\0b", 3);
  refused(p, "entries[0].account");
  p = simple(1, "x", 5);
  p.entries[0].currency = "usd";
  refused(p, "entries[0].currency");
  p = simple(1, "x", 5);
  p.entries[0].amount_micro = 0;
  refused(p, "entries[0].amount_micro");
  p = simple(1, "", 5);
  refused(p, "reference");
  p = simple(1, "x", 5);
  p.kind = "Quote";
  refused(p, "kind");
  p = simple(1, "x", 0);  // nothing is left of it
  refused(p, "entries");
}

TEST_CASE("storage/ledger: amounts that are too large together make a posting unbalanced, not a wrong one") {
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  Posting p{1, "quote", "x", "", {{"a", "USD", most}, {"a", "USD", most}, {"b", "USD", -most}, {"c", "USD", -most}}};
  CHECK(!validate(normalised(p)));
}

TEST_CASE("storage/ledger: balances go beyond 64 bits") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), LedgerStore::databases())));
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < 5; ++i) must(post(env, std::vector{simple(i, "n" + std::to_string(i), most)}));
  const auto b = must(env.read([&](const ReadTxn& txn) { return LedgerStore(env).balance(txn, "platform", "USD"); }));
  REQUIRE(b.has_value());
  CHECK(b->micro == Wide{5} * most);
  CHECK(micro_text(b->micro) == "46116860184273.879035");
  CHECK(verdict(env).difference == "");
}

TEST_CASE("storage/ledger: verify names what was changed behind its back") {
  const auto all = history(7, 50);
  const auto changed = [&](const std::function<Status(WriteTxn&, const Env&)>& change) {
    TempDir dir;
    Env env = must(Env::open(options_for(dir.store(), LedgerStore::databases())));
    must(post(env, all));
    CHECK(verdict(env).difference == "");
    must(env.write([&](WriteTxn& txn) { return change(txn, env); }));
    return verdict(env).difference;
  };
  const auto balance_row = [](int64_t micro) {
    RowWriter row;
    row.i64(micro).i64(micro < 0 ? -1 : 0).u64(0).i64(0).u64(1);
    return row;
  };
  CHECK(changed([&](WriteTxn& txn, const Env& env) {
          Key key;
          key.text("customer/1").text("USD");
          return txn.put(env.db("ledger_balances"), key, balance_row(12));
        }).find("account customer/1 holds 0.000012 USD") == 0);
  CHECK(changed([&](WriteTxn& txn, const Env& env) {
          Key key;
          key.text("nobody").text("USD");
          return txn.put(env.db("ledger_balances"), key, balance_row(-3));
        }).find("account nobody holds -0.000003 USD") == 0);
  CHECK(changed([&](WriteTxn& txn, const Env& env) -> Status {
          Key key;
          key.i64(all[3].time_unix_ns).raw(posting_id(all[3]));
          DROVER_ASSIGN(const bool erased, txn.erase(env.db("ledger_journal"), key));
          CHECK(erased);
          return {};
        }) != "");
  CHECK(changed([&](WriteTxn& txn, const Env& env) {
          Posting other = all[3];  // balanced, under the name of another
          other.memo = "changed";
          Key key;
          key.i64(all[3].time_unix_ns).raw(posting_id(all[3]));
          return txn.put(env.db("ledger_journal"), key, encode_posting(other));
        }).find("posting " + to_hex(posting_id(all[3])) + ": its content has the identity") == 0);
  // Two accounts swapped: sums stay zero, balances do not follow.
  CHECK(changed([&](WriteTxn& txn, const Env& env) -> Status {
          DROVER_ASSIGN(const auto held, LedgerStore(env).balances(txn));
          for (const auto& [to, from] : {std::pair{held[0], held[1]}, std::pair{held[1], held[0]}}) {
            Key key;
            key.text(to.account).text(to.currency);
            RowWriter row;
            row.u64(static_cast<uint64_t>(from.micro)).i64(static_cast<int64_t>(from.micro >> 64));
            row.u64(static_cast<uint64_t>(from.given_micro)).i64(static_cast<int64_t>(from.given_micro >> 64));
            row.u64(from.postings);
            DROVER_TRY(txn.put(env.db("ledger_balances"), key, row));
          }
          return {};
        }) != "");
}

TEST_CASE("storage/ledger: the documented example, byte for byte") {
  const Posting p = normalised({1'000'000'000,
                                "true_up",
                                "dp-1/plant-a",
                                "",
                                {{"customer/plant-a", "USD", 250'000}, {"data_pool", "USD", -250'000}}});
  CHECK(to_hex(encode_posting(p)) ==
        "01000000"
        "00ca9a3b00000000"
        "07000000747275655f7570"
        "0c00000064702d312f706c616e742d61"
        "00000000"
        "02000000"
        "10000000637573746f6d65722f706c616e742d61"
        "03000000555344"
        "90d0030000000000"
        "09000000646174615f706f6f6c"
        "03000000555344"
        "702ffcffffffffff");
  CHECK(to_hex(posting_id(p)).substr(0, 16) == "22d9b89bb79a226b");
}

TEST_CASE("storage/ledger: damaged postings are errors, never more") {
  const Bytes good = encode_posting(history(3, 1).front());
  std::mt19937_64 rng(5);
  for (size_t size = 0; size < good.size(); ++size) CHECK(!decode_posting(good.view().first(size)));
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes(good.view().begin(), good.view().end());
    bytes[rng() % bytes.size()] ^= static_cast<std::byte>(1u << (rng() % 8));
    const auto posting = decode_posting(bytes);
    if (posting) CHECK(std::ranges::equal(encode_posting(*posting).view(), bytes));
  }
}

TEST_CASE("storage/ledger: lists by account, kind and time") {
  TempDir dir;
  Env env = must(Env::open(options_for(dir.store(), LedgerStore::databases())));
  const auto all = history(11, 200);
  must(post(env, all));
  const PostingFilter filters[] = {{"customer/3", "", {}, {}},
                                   {"", "true_up", {}, {}},
                                   {"platform", "quote", -3'000'000'000, 20'000'000'000},
                                   {"", "", 5'000'000'000, {}}};
  for (const PostingFilter& f : filters) {
    size_t want = 0, got = 0;
    for (const Posting& p : all)
      want += (f.kind.empty() || p.kind == f.kind) && (!f.from_unix_ns || p.time_unix_ns >= *f.from_unix_ns) &&
                      (!f.until_unix_ns || p.time_unix_ns < *f.until_unix_ns) &&
                      (f.account.empty() || std::any_of(p.entries.begin(), p.entries.end(),
                                                        [&](const auto& e) { return e.account == f.account; }))
                  ? 1
                  : 0;
    int64_t before = std::numeric_limits<int64_t>::min();
    must(env.read([&](const ReadTxn& txn) {
      return LedgerStore(env).for_each(txn, f, [&](const Hash&, const Posting& p) -> Result<bool> {
        CHECK(p.time_unix_ns >= before);
        before = p.time_unix_ns;
        ++got;
        return true;
      });
    }));
    CHECK(want == got);
    CHECK(want > 0);
  }
}

}  // namespace drover::storage
