#include "stress/sim/books.hpp"

#include <filesystem>
#include <map>
#include <tuple>

#include "stress/sim/workload.hpp"

namespace drover::simulate {
namespace {

using econ::Prediction;
using econ::RealisedOutcome;
using storage::ReadTxn;
using storage::Wide;

template <class T, class Parse>
Result<std::vector<T>> all_of(const econ::CentralEcon& books, const char* table, Parse parse) {
  std::vector<T> all;
  DROVER_TRY(books.env().read([&](const ReadTxn& txn) {
    return txn.for_each(books.env().db(table), {}, [&](ByteView, ByteView value) -> Result<bool> {
      DROVER_ASSIGN(T one, parse(as_text(value)));
      all.push_back(std::move(one));
      return true;
    });
  }));
  return all;
}

// Later and measured ones first. In this workload no two of one deal have the same time.
bool outranks(const RealisedOutcome& a, const RealisedOutcome& b) {
  return std::tuple(a.measured, a.time_unix_ns) > std::tuple(b.measured, b.time_unix_ns);
}

// What a customer paid in the end for one prediction: what was quoted, or, when it is known, what it was worth.
Result<Wide> paid_for(const Prediction& p, const RealisedOutcome* o) {
  if (!p.terms) return Wide{0};
  if (o == nullptr) return Wide{p.terms->quoted};
  const auto realised = econ::realised_delta_mpl(p, *o);
  if (!realised) return Wide{p.terms->quoted};
  DROVER_ASSIGN(const auto worth, econ::quote_amount({p.terms->price_per_unit, 1.0, *realised * p.base_mpl_units_per_h,
                                                      p.terms->horizon_ns, p.terms->withheld_parts}));
  return Wide{worth};
}

// What each account should hold.
Result<std::map<std::string, Wide>> owed(const econ::CentralEcon& books) {
  DROVER_ASSIGN(const auto predictions, all_of<Prediction>(books, "econ_predictions", econ::prediction_from_json));
  DROVER_ASSIGN(const auto outcomes, all_of<RealisedOutcome>(books, "econ_outcomes", econ::outcome_from_json));
  std::map<std::pair<std::string, std::string>, const RealisedOutcome*> best;  // pack, customer; "": every customer
  for (const RealisedOutcome& o : outcomes) {
    const RealisedOutcome*& held = best[{o.pack_id, o.customer_id}];
    if (held == nullptr || outranks(o, *held)) held = &o;
  }
  std::map<std::string, Wide> accounts;
  std::map<std::string, int> seen;
  for (const Prediction& p : predictions) {
    if (++seen[p.pack_id] > 1) return fail(Errc::corrupt, p.pack_id, "has two predictions");
    const RealisedOutcome* o = nullptr;
    for (const std::string& customer : {std::string(), p.customer_id})
      if (const auto found = best.find({p.pack_id, customer}); found != best.end()) o = found->second;
    DROVER_ASSIGN(const Wide paid, paid_for(p, o));
    accounts[econ::customer_account(p.customer_id)] -= paid;
    accounts[std::string(econ::pool_account)] += paid;
  }
  return accounts;
}

std::string compare(const std::vector<storage::Balance>& balances, std::map<std::string, Wide> owed) {
  std::map<std::string, Wide> sums;
  for (const auto& b : balances) {
    sums[b.currency] += b.micro;
    const Wide want = owed[b.account];
    owed.erase(b.account);
    if (b.micro != want)
      return b.account + " holds " + storage::micro_text(b.micro) + ", its predictions and outcomes make it " +
             storage::micro_text(want);
  }
  for (const auto& [currency, sum] : sums)
    if (sum != 0) return currency + " sums to " + storage::micro_text(sum);
  for (const auto& [account, want] : owed)
    if (want != 0) return account + " is missing, it should hold " + storage::micro_text(want);
  return {};
}

// Every row of every table, as one digest a table.
Result<std::map<std::string, Hash>> digests(const econ::CentralEcon& books) {
  std::map<std::string, Hash> all;
  DROVER_TRY(books.env().read([&](const ReadTxn& txn) -> Status {
    for (const std::string& table : econ::CentralEcon::databases()) {
      Sha256 digest;
      DROVER_TRY(txn.for_each(books.env().db(table), {}, [&](ByteView key, ByteView value) -> Result<bool> {
        digest.update(as_bytes(std::to_string(key.size()) + " " + std::to_string(value.size()) + " "));
        digest.update(key);
        digest.update(value);
        return true;
      }));
      all[table] = digest.finish();
    }
    return {};
  }));
  return all;
}

Result<std::string> differs_from_replay(const econ::CentralEcon& books, sync::CentralStore& store,
                                        const std::string& folder) {
  econ::CentralEconOptions options;
  options.folder = folder;
  options.config = books_config();
  options.sync = storage::Sync::nosync;
  DROVER_ASSIGN(const auto anew, econ::CentralEcon::open(options));
  DROVER_ASSIGN(const auto done, anew->run(store));
  if (done.predictions > 0)
    return std::to_string(done.predictions) + " predictions are not in the inbox: the books cannot be made again";
  DROVER_ASSIGN(const auto was, digests(books));
  DROVER_ASSIGN(const auto is, digests(*anew));
  for (const auto& [table, digest] : was)
    if (is.at(table) != digest) return "made again from the inbox they have another " + table;
  return std::string();
}

}  // namespace

std::string check_books(const econ::CentralEcon& books) {
  const auto verdict = books.env().read([&](const ReadTxn& txn) { return books.ledger().verify(txn); });
  if (!verdict) return "books: " + verdict.error().message();
  if (!verdict->difference.empty()) return "books: " + verdict->difference;
  const auto balances = books.env().read([&](const ReadTxn& txn) { return books.ledger().balances(txn); });
  if (!balances) return "books: " + balances.error().message();
  auto should = owed(books);
  if (!should) return "books: " + should.error().message();
  const std::string wrong = compare(*balances, std::move(*should));
  return wrong.empty() ? wrong : "books: " + wrong;
}

std::string check_books_at_rest(econ::CentralEcon& books, sync::CentralStore& store, const BooksAtRest& rest) {
  const auto left = books.run(store);
  if (!left) return "books: " + left.error().message();
  if (left->datapacks + left->outcomes + left->predictions > 0)
    return std::string("books: ")
        .append(std::to_string(left->datapacks))
        .append(" datapacks and ")
        .append(std::to_string(left->outcomes))
        .append(" outcomes were left unread");
  if (std::string why = check_books(books); !why.empty()) return why;
  const auto counts = books.counts();
  if (!counts) return "books: " + counts.error().message();
  if (counts->predictions != rest.datapacks)
    return std::string("books: ")
        .append(std::to_string(counts->predictions))
        .append(" predictions, the centre has ")
        .append(std::to_string(rest.datapacks))
        .append(" datapacks");
  const auto aside = books.set_aside(1000);
  if (!aside) return "books: " + aside.error().message();
  for (const auto& [what, why] : *aside)
    if (!rest.disks_lost || why.find("is not one of") == std::string::npos)
      return "books: did not believe " + what + ": " + why;
  const auto difference = differs_from_replay(books, store, rest.folder);
  std::error_code ignored;
  std::filesystem::remove_all(rest.folder, ignored);
  if (!difference) return "books: made again: " + difference.error().message();
  return difference->empty() ? *difference : "books: " + *difference;
}

}  // namespace drover::simulate
