// Sources over folders (see store_access.hpp).
#include "nodes/commands/store_access.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "actors/fleet/query.hpp"
#include "actors/sync/robot_store.hpp"
#include "nodes/commands/command.hpp"
#include "nodes/config/load.hpp"

namespace drover::nodes {
namespace {

namespace fs = std::filesystem;
constexpr size_t local_reply_bytes_max = size_t{256} << 20;
constexpr uint64_t replay_block_bytes = 1u << 20;

class CentralSource final : public Source {
 public:
  explicit CentralSource(std::unique_ptr<sync::CentralStore> store) : store_(std::move(store)) {}
  Result<std::string> ask(const Json& request) override {
    return fleet::answer_query(*store_, request.dump(-1, ' ', false, Json::error_handler_t::replace),
                               {local_reply_bytes_max});
  }
  const sync::CentralStore* store() const override { return store_.get(); }
  const storage::Env* chunks_env() const override { return &store_->central_env(); }

 private:
  std::unique_ptr<sync::CentralStore> store_;
};

// A folder in memory where there is one, removed with this.
class ScratchFolder {
 public:
  static Result<ScratchFolder> make() {
    for (const fs::path& parent : {fs::path("/dev/shm"), fs::temp_directory_path()}) {
      std::string name = (parent / "drover-scratch-XXXXXX").string();
      if (::mkdtemp(name.data()) != nullptr) return ScratchFolder(std::move(name));
    }
    return fail(Errc::io, fs::temp_directory_path().string(), "cannot make a folder for a scratch store");
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchFolder& operator=(ScratchFolder&&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

class RobotSource final : public Source {
 public:
  static Result<std::unique_ptr<Source>> open(const std::string& folder) {
    storage::EnvOptions options;
    options.path = folder;
    options.databases = sync::robot_store_databases();
    options.access = storage::Access::read_only;
    DROVER_ASSIGN(auto env, storage::Env::open(options));
    DROVER_ASSIGN(const auto journal, storage::Journal::open_existing(env));
    DROVER_ASSIGN(auto scratch, ScratchFolder::make());
    sync::CentralStoreOptions central;
    central.path = scratch.path();
    central.sync = storage::Sync::nosync;
    central.verify = storage::Verify::none;
    DROVER_ASSIGN(auto store, sync::CentralStore::open(central));
    DROVER_TRY(replay(env, journal, *store));
    DROVER_TRY(take_knowledge(env, *store));
    return std::unique_ptr<Source>(new RobotSource(std::move(env), std::move(scratch), std::move(store)));
  }
  Result<std::string> ask(const Json& request) override { return central_.ask(request); }
  const sync::CentralStore* store() const override { return central_.store(); }
  const storage::Env* chunks_env() const override { return &env_; }

 private:
  RobotSource(storage::Env env, ScratchFolder scratch, std::unique_ptr<sync::CentralStore> store)
      : env_(std::move(env)), scratch_(std::move(scratch)), central_(std::move(store)) {}

  // What the robot believes, which may be older than what the centre publishes. A store from before has no table for
  // it.
  static Status take_knowledge(const storage::Env& env, sync::CentralStore& store) {
    const auto knowledge = storage::KnowledgeStore::open(env);
    DROVER_ASSIGN(const auto held, env.read([&](const storage::ReadTxn& txn) { return knowledge.newest_in(txn); }));
    if (held.version == 0) return {};
    DROVER_ASSIGN(const uint64_t version, store.publish(held.version, held.bytes.view()));
    (void)version;
    return {};
  }

  static Status replay(const storage::Env& env, const storage::Journal& journal, sync::CentralStore& store) {
    const sync::StreamId stream{journal.identity().robot, journal.identity().incarnation};
    DROVER_ASSIGN(const auto facts, journal.facts(env));
    if (facts.first_seq > 1)
      std::fprintf(stderr, "note: records before number %llu have left this robot; the coordinator holds them\n",
                   static_cast<unsigned long long>(facts.first_seq));
    DROVER_ASSIGN(const auto opened, store.open_stream(stream, 1));
    (void)opened;
    for (uint64_t next = facts.first_seq; next <= facts.last_seq;) {
      DROVER_ASSIGN(const auto bytes, journal.read(env, next, replay_block_bytes));
      DROVER_ASSIGN(const auto block, Block::parse(bytes));
      next = block.last_seq() + 1;
      DROVER_TRY(take(block, stream, facts.first_seq, store));
    }
    return {};
  }

  // A scratch stream begins at 1 wherever the journal begins.
  static Status take(const Block& block, const sync::StreamId& stream, uint64_t first_seq, sync::CentralStore& store) {
    storage::Incoming incoming{stream.robot, stream.incarnation, block, 1};
    if (first_seq > 1) {
      BlockBuilder builder(block.first_seq() - first_seq + 1);
      for (size_t i = 0; i < block.count(); ++i) {
        const RecordView r = block.record(i);
        DROVER_ASSIGN(const uint64_t seq, builder.add(r.kind, r.schema, r.time_unix_ns, r.payload));
        (void)seq;
      }
      DROVER_ASSIGN(incoming.block, Block::parse(builder.finish()));
    }
    DROVER_ASSIGN(const auto outcomes, store.append(std::span(&incoming, 1)));
    if (outcomes.front().status != storage::AppendStatus::ok)
      return fail(Errc::corrupt, "journal of " + stream.robot, outcomes.front().message);
    for (bool more = true; more;) {
      DROVER_ASSIGN(const auto applied, store.apply(stream, 4 * replay_block_bytes));
      more = applied.more;
    }
    return {};
  }

  storage::Env env_;
  ScratchFolder scratch_;
  CentralSource central_;
};

}  // namespace

void add_access_options(CLI::App& app, AccessOptions& options, const AccessChoice& choice) {
  app.add_option("--store", options.store, "folder of a coordinator's or robot's store, read beside its daemon");
  app.add_option("--config", options.config, "configuration of the coordinator, instead of --store");
  app.add_flag("--json", options.json, "print the answer as JSON");
  if (!choice.remote) return;
  app.add_option("--connect", options.connect, "HOST:PORT of a coordinator, instead of --store");
  app.add_option("--server-name", options.server_name, "name in the coordinator's certificate (default: HOST)");
  app.add_option("--pki", options.pki, "folder with ca.pem, node.pem and node.key of an operator");
  app.add_option("--ca", options.ca, "certificate of the authority");
  app.add_option("--cert", options.cert, "certificate of an operator");
  app.add_option("--key", options.key, "its private key (mode 0600)");
  app.add_option("--timeout-ms", options.timeout_ms, "for connecting, and for the answer")
      ->check(CLI::Range(100, 600'000))
      ->capture_default_str();
}

StoreKind store_kind(const std::string& folder) {
  std::error_code error;
  const fs::path path = folder;
  if (fs::exists(path / "inbox" / "data.mdb", error) && fs::exists(path / "central" / "data.mdb", error))
    return StoreKind::coordinator;
  return fs::exists(path / "data.mdb", error) ? StoreKind::robot : StoreKind::none;
}

Result<std::unique_ptr<sync::CentralStore>> open_central(const std::string& folder, storage::Access access) {
  switch (store_kind(folder)) {
    case StoreKind::none:
      return fail(Errc::not_found, folder, "there is no store here; give the folder that store.dir names");
    case StoreKind::robot:
      return fail(Errc::invalid_argument, folder,
                  "this is the store of a robot (or a part of one of a coordinator); this needs a coordinator's");
    case StoreKind::coordinator:
      break;
  }
  sync::CentralStoreOptions options;
  options.path = folder;
  options.access = access;
  auto store = sync::CentralStore::open(options);
  if (!store && store.error().code == Errc::refused && access == storage::Access::read_write) {
    Error error = store.error();
    error.what += "; this command changes the store: stop the coordinator for the moment it takes";
    return tl::unexpected(std::move(error));
  }
  return store;
}

Result<std::string> store_folder(const AccessOptions& options) {
  if (!options.store.empty()) return options.store;
  if (options.config.empty())
    return fail(Errc::invalid_argument, "--store",
                "say where to look: --store DIR, --config FILE or --connect HOST:PORT");
  DROVER_ASSIGN(const auto config, load_config<CoordinatorConfig>({options.config, {}}));
  return config.store.dir;
}

Result<std::unique_ptr<Source>> open_source(const AccessOptions& options) {
  if (!options.connect.empty()) {
    if (!options.store.empty() || !options.config.empty())
      return fail(Errc::invalid_argument, "--connect", "cannot go with --store or --config");
    return open_remote(options);
  }
  DROVER_ASSIGN(const std::string folder, store_folder(options));
  if (store_kind(folder) == StoreKind::robot) {
    auto source = RobotSource::open(folder);
    if (source || source.error().code != Errc::not_found) return source;
    return fail(Errc::invalid_argument, folder, "is neither a coordinator's store nor a robot's");
  }
  DROVER_ASSIGN(auto store, open_central(folder, storage::Access::read_only));
  return std::unique_ptr<Source>(std::make_unique<CentralSource>(std::move(store)));
}

void print_text(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void warn_if_truncated(const Json& reply) {
  if (reply.value("truncated", false))
    std::fprintf(stderr, "note: the answer was cut; ask for less with --limit or narrower filters\n");
}

int ask_and_show(const char* name, const AccessOptions& options, const Json& request,
                 const std::function<void(const Json& reply)>& show) {
  auto source = open_source(options);
  if (!source) {
    const bool usage = source.error().code == Errc::invalid_argument && source.error().where.starts_with("--");
    return report_failure(name, source.error(), usage ? exit_usage : exit_failed);
  }
  const auto reply = (*source)->ask(request);
  if (!reply) return report_failure(name, reply.error());
  if (options.json) {
    print_text(*reply + "\n");
    return exit_ok;
  }
  const Json parsed = Json::parse(*reply, nullptr, false);
  if (parsed.is_discarded()) return report_failure(name, {Errc::corrupt, "reply", "is not JSON"});
  show(parsed);
  warn_if_truncated(parsed);
  return exit_ok;
}

}  // namespace drover::nodes
