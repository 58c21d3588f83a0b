// drover econ ledger: the journal of money, its balances, and the proof that they follow from it.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "nodes/commands/econ.hpp"
#include "nodes/commands/store_access.hpp"
#include "nodes/commands/table.hpp"
#include "storage/ledger_store.hpp"

namespace drover::nodes {
namespace {

using storage::LedgerStore;
using storage::ReadTxn;

constexpr const char* name = "drover econ ledger";

struct Options {
  std::string store, account, kind, from, until;
  uint32_t limit = 100;
  bool json = false;
  CLI::App* list = nullptr;
  CLI::App* balances = nullptr;
  CLI::App* verify = nullptr;
};

Json posting_json(const Hash& id, const storage::Posting& p) {
  Json entries = Json::array();
  for (const auto& e : p.entries)
    entries.push_back({{"account", e.account}, {"currency", e.currency}, {"amount_micro", e.amount_micro}});
  return {{"id", to_hex(id)}, {"time_unix_ns", p.time_unix_ns}, {"kind", p.kind}, {"reference", p.reference},
          {"memo", p.memo},   {"entries", std::move(entries)}};
}

Result<storage::PostingFilter> filter_of(const Options& o) {
  storage::PostingFilter filter;
  filter.account = o.account;
  filter.kind = o.kind;
  if (!o.from.empty()) {
    DROVER_ASSIGN(filter.from_unix_ns, parse_utc(o.from));
  }
  if (!o.until.empty()) {
    DROVER_ASSIGN(filter.until_unix_ns, parse_utc(o.until));
  }
  return filter;
}

Status list(const Options& o) {
  DROVER_ASSIGN(const auto filter, filter_of(o));
  DROVER_ASSIGN(const auto env, open_books(o.store));
  Table table({"TIME", "KIND", "!ACCOUNT", ">AMOUNT", "CUR", "!POSTING", "MEMO"});
  Json postings = Json::array();
  uint32_t shown = 0;
  bool more = false;
  DROVER_TRY(env.read([&](const ReadTxn& txn) {
    return LedgerStore(env).for_each(txn, filter, [&](const Hash& id, const storage::Posting& p) -> Result<bool> {
      more = shown == o.limit;
      if (more) return false;
      ++shown;
      if (o.json) postings.push_back(posting_json(id, p));
      bool first = true;
      for (const auto& e : p.entries) {
        table.row({first ? human_time(p.time_unix_ns) : "", first ? p.kind : "", e.account,
                   storage::micro_text(e.amount_micro), e.currency, first ? to_hex(id).substr(0, 12) : "",
                   first ? plain_text(p.memo) : ""});
        first = false;
      }
      return true;
    });
  }));
  if (o.json)
    print_text(Json{{"postings", std::move(postings)}, {"truncated", more}}.dump() + "\n");
  else
    print_text(table.empty() ? "no postings\n" : table.text());
  if (more && !o.json) std::fprintf(stderr, "further postings are not shown: raise --limit\n");
  return {};
}

Status balances(const Options& o) {
  DROVER_ASSIGN(const auto env, open_books(o.store));
  Table table({"!ACCOUNT", ">BALANCE", "CUR", ">RECEIVED", ">GAVE", ">POSTINGS"});
  Json rows = Json::array();
  std::map<std::string, storage::Wide> sums;
  DROVER_ASSIGN(const auto all, env.read([&](const ReadTxn& txn) { return LedgerStore(env).balances(txn); }));
  for (const auto& b : all) {
    if (!o.account.empty() && b.account != o.account) continue;
    sums[b.currency] += b.micro;
    table.row({b.account, storage::micro_text(b.micro), b.currency, storage::micro_text(b.micro + b.given_micro),
               storage::micro_text(b.given_micro), human_count(b.postings)});
    rows.push_back({{"account", b.account},
                    {"currency", b.currency},
                    {"balance", storage::micro_text(b.micro)},
                    {"received", storage::micro_text(b.micro + b.given_micro)},
                    {"gave", storage::micro_text(b.given_micro)},
                    {"postings", b.postings}});
  }
  if (o.account.empty())
    for (const auto& [currency, sum] : sums) table.row({"sum", storage::micro_text(sum), currency, "", "", ""});
  if (o.json)
    print_text(Json{{"balances", std::move(rows)}}.dump() + "\n");
  else
    print_text(all.empty() ? "no postings\n" : table.text());
  return {};
}

Result<int> verify(const Options& o) {
  DROVER_ASSIGN(const auto env, open_books(o.store));
  DROVER_TRY(env.verify(storage::Verify::full));
  DROVER_ASSIGN(const auto verdict, env.read([&](const ReadTxn& txn) { return LedgerStore(env).verify(txn); }));
  DROVER_ASSIGN(const auto totals, env.read([&](const ReadTxn& txn) { return LedgerStore(env).totals(txn); }));
  const bool good = verdict.difference.empty();
  if (o.json)
    print_text(Json{{"postings", verdict.postings},
                    {"accounts", verdict.accounts},
                    {"digest", to_hex(totals.digest)},
                    {"good", good},
                    {"difference", verdict.difference}}
                   .dump() +
               "\n");
  else if (good)
    std::printf(
        "%s postings, %s accounts: every balance follows from the journal and each currency sums to zero\n"
        "digest %s\n",
        human_count(verdict.postings).c_str(), human_count(verdict.accounts).c_str(), to_hex(totals.digest).c_str());
  else
    std::printf("the books are wrong: %s\n", verdict.difference.c_str());
  return good ? exit_ok : exit_failed;
}

int run(const Options& o) {
  const auto done = o.verify->parsed() ? verify(o)
                    : o.list->parsed() ? list(o).map([] { return int{exit_ok}; })
                                       : balances(o).map([] { return int{exit_ok}; });
  return done ? *done : report_failure(name, done.error());
}

}  // namespace

EconPart add_econ_ledger(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CLI::App* ledger = app.add_subcommand("ledger", "the journal of money, its balances, and the proof that they agree");
  ledger->require_subcommand(1);
  const auto command = [&](const char* word, const char* help) {
    CLI::App* sub = ledger->add_subcommand(word, help);
    sub->add_option("--store", o->store, "folder of a coordinator's store")->required();
    sub->add_flag("--json", o->json, "print JSON");
    return sub;
  };
  o->list = command("list", "the postings, oldest first");
  o->list->add_option("--kind", o->kind, "only this kind: quote, true_up, reversal ...");
  o->list->add_option("--from", o->from, "not before this time (UTC)");
  o->list->add_option("--until", o->until, "before this time (UTC)");
  o->list->add_option("--limit", o->limit, "postings at most")->capture_default_str();
  o->balances = command("balances", "what every account holds");
  for (CLI::App* sub : {o->list, o->balances}) sub->add_option("--account", o->account, "only this account");
  o->verify = command("verify", "derive every balance again from the journal and name the first difference");
  return [o, ledger]() -> std::optional<int> {
    if (!ledger->parsed()) return std::nullopt;
    return run(*o);
  };
}

std::string econ_folder(const std::string& store) {
  return store + "/econ";
}

Result<storage::Env> open_books(const std::string& store) {
  if (store_kind(store) != StoreKind::coordinator) return fail(Errc::not_found, store, "is no coordinator's store");
  if (!std::filesystem::exists(econ_folder(store) + "/data.mdb"))
    return fail(Errc::not_found, econ_folder(store), "no books yet: drover econ reconcile makes them");
  storage::EnvOptions options;
  options.path = econ_folder(store);
  options.databases = LedgerStore::databases();
  options.access = storage::Access::read_only;
  return storage::Env::open(options);
}

}  // namespace drover::nodes
