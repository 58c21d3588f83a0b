// drover stress ledger: a writer that is killed again and again (kill -9, at random) posts one history in ever other
// orders and with repetitions; in the end the books must be those of the history, bit for bit. Seeded.
//
// The writer is this executable itself with --writer: it posts batches, each a durable commit, from a random place of a
// shuffled history, and begins again from nothing known after each kill. Between kills every balance is derived again.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "storage/ledger_store.hpp"

namespace {

using namespace drover;
using namespace drover::storage;
using Clock = std::chrono::steady_clock;

struct Options {
  uint64_t postings = 20'000, seed = 1, batch = 50;
  int kills = 20;
  std::string dir;
  bool writer = false;
};

std::vector<Posting> history(const Options& o) {
  std::mt19937_64 rng(o.seed);
  const char* currencies[] = {"USD", "EUR", "CHF"};
  std::vector<Posting> all;
  for (uint64_t i = 0; all.size() < o.postings; ++i) {
    Posting p;
    p.time_unix_ns = static_cast<int64_t>(rng() % 1'000'000) * 1'000'000;
    p.kind = i % 3 == 0 ? "true_up" : "quote";
    p.reference = "fact-" + std::to_string(i);
    for (uint64_t legs = 1 + rng() % 3; legs > 0; --legs) {
      const std::string currency = currencies[rng() % 3];
      const auto amount = static_cast<int64_t>(rng() % 9'000'000'000'000) + 1;
      p.entries.push_back({"customer/" + std::to_string(rng() % 200), currency, -amount});
      p.entries.push_back({rng() % 2 == 0 ? "platform" : "data_pool", currency, amount});
    }
    p = normalised(std::move(p));
    if (validate(p)) all.push_back(std::move(p));
  }
  return all;
}

Result<Env> open_env(const std::string& dir, Access access) {
  EnvOptions options;
  options.path = dir;
  options.databases = LedgerStore::databases();
  options.access = access;
  options.verify = Verify::full;
  return Env::open(options);
}

Status post(Env& env, std::span<const Posting> postings, PostOutcome& sum) {
  DROVER_ASSIGN(const auto outcome, env.write([&](WriteTxn& txn) { return LedgerStore(env).post_in(txn, postings); }));
  sum.posted += outcome.posted;
  sum.known += outcome.known;
  return {};
}

// Order and starting place are its own: it does not know what was posted before.
int writer(const Options& o) {
  std::vector<Posting> all = history(o);
  std::mt19937_64 rng(o.seed ^ (static_cast<uint64_t>(::getpid()) << 20));
  std::shuffle(all.begin(), all.end(), rng);
  auto env = open_env(o.dir, Access::read_write);
  PostOutcome sum;
  for (size_t at = 0; env && at < all.size(); at += o.batch) {
    const Status done = post(*env, std::span(all).subspan(at, std::min<size_t>(o.batch, all.size() - at)), sum);
    if (!done) {
      std::fprintf(stderr, "writer: %s\n", done.error().message().c_str());
      return 1;
    }
  }
  if (!env) std::fprintf(stderr, "writer: %s\n", env.error().message().c_str());
  return env ? 0 : 1;
}

pid_t start_writer(const Options& o) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  const std::string postings = std::to_string(o.postings), seed = std::to_string(o.seed),
                    batch = std::to_string(o.batch);
  ::execl("/proc/self/exe", "drover-stress-ledger", "--writer", "--postings", postings.c_str(), "--seed", seed.c_str(),
          "--batch", batch.c_str(), "--dir", o.dir.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

Result<LedgerVerdict> verdict_of(const std::string& dir) {
  DROVER_ASSIGN(const auto env, open_env(dir, Access::read_only));
  return env.read([&](const ReadTxn& txn) { return LedgerStore(env).verify(txn); });
}

using Accounts = std::map<std::pair<std::string, std::string>, Wide>;

// What the books must say, from the history alone.
Accounts expected(const std::vector<Posting>& all) {
  Accounts out;
  for (const Posting& p : all)
    for (const LedgerEntry& e : p.entries) out[{e.account, e.currency}] += e.amount_micro;
  return out;
}

Status compare(const Options& o, const std::vector<Posting>& all, uint64_t& accounts) {
  DROVER_ASSIGN(const auto env, open_env(o.dir, Access::read_only));
  DROVER_ASSIGN(const auto balances, env.read([&](const ReadTxn& txn) { return LedgerStore(env).balances(txn); }));
  DROVER_ASSIGN(const auto totals, env.read([&](const ReadTxn& txn) { return LedgerStore(env).totals(txn); }));
  Accounts want = expected(all);
  if (totals.postings != all.size())
    return fail(Errc::corrupt, "ledger",
                std::to_string(totals.postings) + " postings of " + std::to_string(all.size()));
  for (const Balance& b : balances) {
    const auto found = want.find({b.account, b.currency});
    if (found == want.end() || found->second != b.micro)
      return fail(Errc::corrupt, b.account, "holds " + micro_text(b.micro) + " " + b.currency);
  }
  if (balances.size() != want.size()) return fail(Errc::corrupt, "ledger", "accounts are missing");
  accounts = balances.size();
  return {};
}

Status run(const Options& o) {
  const std::vector<Posting> all = history(o);
  std::mt19937_64 rng(o.seed + 1);
  const auto start = Clock::now();
  int kills = 0, finished = 0;
  uint64_t seen = 0;
  // A writer that finds everything posted may end before it is killed: such rounds are bounded.
  for (int round = 0; finished < 1 || (kills < o.kills && round < 3 * o.kills); ++round) {
    const pid_t pid = start_writer(o);
    if (pid < 0) return fail(Errc::io, "fork", "failed");
    const auto patience = std::chrono::milliseconds(50 + rng() % 400);
    if (kills < o.kills) {
      std::this_thread::sleep_for(patience);
      ::kill(pid, SIGKILL);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) return fail(Errc::internal, "writer", "failed");
    (WIFEXITED(status) ? finished : kills) += 1;
    if (!std::filesystem::exists(o.dir + "/data.mdb")) continue;
    const auto verdict = verdict_of(o.dir);
    if (!verdict && verdict.error().code == Errc::not_found) continue;  // killed before the store was there
    if (!verdict) return tl::unexpected(verdict.error());
    if (!verdict->difference.empty())
      return fail(Errc::corrupt, "after kill " + std::to_string(kills), verdict->difference);
    if (verdict->postings < seen) return fail(Errc::corrupt, "ledger", "postings were lost");
    seen = verdict->postings;
  }
  uint64_t accounts = 0;
  DROVER_TRY(compare(o, all, accounts));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf(
      "%llu postings in %llu accounts, %d kills in %.1f s, batches of %llu, each synced: every time the balances "
      "followed from the journal, in the end they are those of the history\n",
      static_cast<unsigned long long>(all.size()), static_cast<unsigned long long>(accounts), kills, seconds,
      static_cast<unsigned long long>(o.batch));
  return {};
}

// Posting speed in one process, both durabilities.
Status rates(const Options& o) {
  const std::vector<Posting> all = history(o);
  for (const Sync sync : {Sync::synced, Sync::nosync}) {
    EnvOptions options;
    options.path = o.dir + (sync == Sync::synced ? "-synced" : "-nosync");
    options.databases = LedgerStore::databases();
    options.sync = sync;
    DROVER_ASSIGN(auto env, Env::open(options));
    PostOutcome sum;
    const auto start = Clock::now();
    for (size_t at = 0; at < all.size(); at += o.batch)
      DROVER_TRY(post(env, std::span(all).subspan(at, std::min<size_t>(o.batch, all.size() - at)), sum));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::printf("%-28s %10.0f postings/s\n", sync == Sync::synced ? "synced before each return" : "not synced",
                static_cast<double>(sum.posted) / seconds);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Kill a ledger's writer again and again; the books must stay right and end right.",
               "drover stress ledger");
  app.add_option("--postings", o.postings, "in the history")->check(CLI::Range(1, 10'000'000))->capture_default_str();
  app.add_option("--seed", o.seed, "of history and kills")->capture_default_str();
  app.add_option("--kills", o.kills, "kill -9 at random")->check(CLI::Range(0, 100'000))->capture_default_str();
  app.add_option("--batch", o.batch, "postings in one commit")->check(CLI::Range(1, 100'000))->capture_default_str();
  app.add_option("--dir", o.dir, "folder of the store; default: a temporary one");
  app.add_flag("--writer", o.writer, "post the history and end")->group("");
  CLI11_PARSE(app, argc, argv);
  if (o.writer) return writer(o);
  const bool temporary = o.dir.empty();
  std::string folder = (std::filesystem::temp_directory_path() / "drover_ledger_XXXXXX").string();
  if (temporary && ::mkdtemp(folder.data()) == nullptr) return 1;
  if (temporary) o.dir = folder + "/store";
  Status done = run(o);
  if (done) done = rates(o);
  if (!done)
    std::fprintf(stderr, "drover stress ledger: seed %llu: %s\n", static_cast<unsigned long long>(o.seed),
                 done.error().message().c_str());
  std::error_code ignored;
  if (temporary) std::filesystem::remove_all(folder, ignored);
  return done ? 0 : 1;
}
