#include "stress/crash/fleet.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "actors/capture/generate.hpp"
#include "actors/capture/spool.hpp"
#include "actors/sync/robot_store.hpp"
#include "storage/journal.hpp"

namespace drover::crash {
namespace {

namespace fs = std::filesystem;
using storage::ReadTxn;

bool is_log(const fs::path& path) {
  return path.extension() == ".csv" || path.extension() == ".mcap";
}

Result<std::vector<fs::path>> logs_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed))
    if (entry.is_regular_file() && is_log(entry.path())) files.push_back(entry.path());
  if (failed) return fail(Errc::io, folder.string(), failed.message());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Status write_text(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) return fail(Errc::io, path.string(), "cannot be written");
  return {};
}

// A port that nobody listens on now.
Result<uint16_t> free_port() {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = handle >= 0 && bind(handle, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(handle, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (handle >= 0) close(handle);
  if (!bound) return fail(Errc::io, "127.0.0.1:0", "no free port");
  return ntohs(address.sin_port);
}

std::string node_section(const std::string& id, const std::string& store) {
  return fmt::format("[node]\nid = \"{}\"\n[store]\ndir = \"{}\"\nfree_reserve_bytes = 0\n", id, store);
}

std::string tls_section(const std::string& node) {
  return fmt::format(
      "[tls]\nca_file = \"pki/nodes/{0}/ca.pem\"\ncert_file = \"pki/nodes/{0}/node.pem\"\n"
      "key_file = \"pki/nodes/{0}/node.key\"\n",
      node);
}

std::string robot_name(size_t robot) {
  return "robot-" + std::to_string(robot + 1);
}

std::optional<sync::SourceClaim> read_claim(std::string_view key, std::string_view value) {
  if (!key.starts_with("spool/")) return std::nullopt;
  const auto mark = capture::decode_mark(as_bytes(value));
  if (!mark) return std::nullopt;
  return sync::SourceClaim{mark->file.name, mark->next_ordinal, mark->state != capture::MarkState::taking,
                           mark->state == capture::MarkState::quarantined};
}

// ---- logs --------------------------------------------------------------------------------------

Result<Logs> Logs::open(const std::string& folder, uint64_t seed, uint32_t episodes) {
  Logs logs;
  logs.seed_ = seed;
  logs.episodes_ = episodes;
  if (folder.empty()) return logs;
  std::vector<fs::path> folders{folder};
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed))
    if (entry.is_directory()) folders.push_back(entry.path());
  if (failed) return fail(Errc::io, folder, failed.message());
  std::sort(folders.begin(), folders.end());
  size_t next = 0;
  for (const fs::path& one : folders) {
    DROVER_ASSIGN(auto files, logs_in(one));
    if (files.empty()) continue;
    auto& list = logs.real_[next++ % robots];
    list.insert(list.end(), files.begin(), files.end());
  }
  if (next == 0) return fail(Errc::not_found, folder, "holds no .csv or .mcap files, neither do the folders in it");
  return logs;
}

Result<Logs::File> Logs::file(size_t robot, size_t index) const {
  const std::string prefix = fmt::format("{:05}_", index);
  if (robot < robots && index < real_[robot].size()) {
    const fs::path& path = real_[robot][index];
    std::ifstream in(path, std::ios::binary);
    std::string content((std::istreambuf_iterator<char>(in)), {});
    if (!in) return fail(Errc::io, path.string(), "cannot be read");
    return File{prefix + path.filename().string(), std::move(content)};
  }
  capture::GenerateOptions options;
  options.seed = seed_ * 1'000'003 + index * robots + robot;
  options.episodes = episodes_;
  options.start_unix_ns += static_cast<int64_t>(index) * 3'600'000'000'000;
  auto made = robot % robots == 0   ? capture::generate_ur3(options)
              : robot % robots == 1 ? capture::generate_ur3e(options)
                                    : capture::generate_ros2(options);
  if (!made) return tl::unexpected(made.error());
  return File{prefix + made->name, std::move(made->content)};
}

// ---- fleet -------------------------------------------------------------------------------------

Result<std::unique_ptr<Fleet>> Fleet::create(const FleetOptions& options) {
  std::unique_ptr<Fleet> fleet(new Fleet(options));
  std::error_code failed;
  fs::create_directories(options.folder, failed);
  if (failed) return fail(Errc::io, options.folder, failed.message());
  DROVER_TRY(fleet->enroll({"init", "--dir", "pki"}));
  DROVER_TRY(fleet->enroll({"node", "--dir", "pki", "--role", "coordinator", "--id", "centre", "--host", "localhost",
                            "--host", "127.0.0.1"}));
  for (size_t i = 0; i < options.robots; ++i) {
    DROVER_TRY(fleet->enroll({"node", "--dir", "pki", "--role", "robot", "--id", robot_name(i)}));
    fs::create_directories(fs::path(options.folder) / ("spool-" + robot_name(i)), failed);
  }
  DROVER_ASSIGN(fleet->port_, free_port());
  DROVER_TRY(fleet->write_configs());
  for (size_t i = 0; i <= options.robots; ++i) fleet->make_process(i);
  return fleet;
}

void Fleet::make_process(size_t index) {
  const bool robot = index < options_.robots;
  const std::string name = robot ? robot_name(index) : "coordinator";
  std::vector<std::string> words{options_.drover, robot ? "robot" : "coordinator", "--config", name + ".toml"};
  processes_.push_back(
      std::make_unique<Process>(name, std::move(words), options_.folder, options_.folder + "/" + name + ".log",
                                options_.environment ? options_.environment(index) : std::vector<std::string>()));
}

Status Fleet::enroll(const std::vector<std::string>& words) {
  std::vector<std::string> all{options_.drover, "enroll"};
  all.insert(all.end(), words.begin(), words.end());
  DROVER_ASSIGN(const auto ran, run_program(all, options_.folder));
  if (ran.code == 0) return {};
  return fail(Errc::internal, "drover enroll " + words.front(), ran.output);
}

Status Fleet::write_configs() {
  const fs::path folder(options_.folder);
  const std::string address = "127.0.0.1:" + std::to_string(port_);
  DROVER_TRY(write_text(folder / "coordinator.toml", node_section("centre", "store-centre") + "[listen]\naddress = \"" +
                                                         address + "\"\n" + tls_section("coordinator-centre") +
                                                         options_.tables));
  for (size_t i = 0; i < options_.robots; ++i) DROVER_TRY(write_robot_config(i));
  return {};
}

Status Fleet::write_robot_config(size_t robot) {
  uint16_t port = port_;
  if (options_.dial_port) {
    DROVER_ASSIGN(port, options_.dial_port(robot, port_));
  }
  const std::string name = robot_name(robot);
  std::string text = node_section(name, "store-" + name);
  text += fmt::format(
      "[capture]\nmappings_dir = \"{0}/mappings\"\necon_file = \"{0}/econ/default.toml\"\n"
      "baseline_file = \"{0}/baselines/default.toml\"\npoll_ms = 20\nstable_polls = 1\n"
      "semantics_dir = \"{0}/semantics\"\n"
      "[gates]\ndir = \"{0}/gates\"\n"
      "[[capture.spool]]\npath = \"spool-{1}\"\n"
      "[coordinator]\naddress = \"127.0.0.1:{2}\"\nserver_name = \"centre\"\n"
      "[sync]\nblob_budget_bytes_per_s = {3}\nblob_burst_bytes = 65536\nblob_piece_bytes = 16384\n"
      "block_max_bytes = 16384\n",
      options_.configs, name, port, options_.blob_bytes_per_s);
  return write_text(fs::path(options_.folder) / (name + ".toml"),
                    text + tls_section("robot-" + name) + options_.tables);
}

Status Fleet::start_all() {
  DROVER_TRY(processes_[options_.robots]->start());
  for (size_t i = 0; i < options_.robots; ++i) DROVER_TRY(processes_[i]->start());
  return {};
}

Status Fleet::deliver(const Logs& logs, size_t robot) {
  DROVER_ASSIGN(const auto file, logs.file(robot, delivered_[robot]));
  const fs::path spool = fs::path(options_.folder) / ("spool-" + robot_name(robot));
  const fs::path part = spool / (file.name + ".part");  // a suffix that the spool ignores
  DROVER_TRY(write_text(part, file.content));
  std::error_code failed;
  fs::rename(part, spool / file.name, failed);
  if (failed) return fail(Errc::io, part.string(), failed.message());
  ++delivered_[robot];
  return {};
}

Result<storage::Env*> Fleet::robot_store(size_t robot) {
  if (!stores_[robot]) {
    storage::EnvOptions options;
    options.path = fs::path(options_.folder) / ("store-" + robot_name(robot));
    options.databases = sync::robot_store_databases();
    options.access = storage::Access::read_only;
    options.verify = storage::Verify::none;
    DROVER_ASSIGN(stores_[robot], storage::Env::open(options));
  }
  return &*stores_[robot];
}

Result<sync::CentralStore*> Fleet::central_store() {
  if (!central_) {
    sync::CentralStoreOptions options;
    options.path = options_.folder + "/store-centre";
    options.access = storage::Access::read_only;
    options.verify = storage::Verify::none;
    DROVER_ASSIGN(central_, sync::CentralStore::open(options));
  }
  return central_.get();
}

Result<uint64_t> Fleet::waiting_files(size_t robot) {
  const auto env = robot_store(robot);
  if (!env) return delivered_[robot];  // not founded yet
  DROVER_ASSIGN(const auto marks,
                (*env)->read([&](const ReadTxn& txn) { return storage::Marks::open(**env).list_in(txn, "spool/"); }));
  uint64_t settled = 0;
  for (const auto& [key, value] : marks)
    if (const auto claim = read_claim(key, value); claim && claim->finished) ++settled;
  return delivered_[robot] - std::min<uint64_t>(delivered_[robot], settled);
}

Result<uint64_t> Fleet::chunk_backlog_bytes(size_t robot) {
  const auto env = robot_store(robot);
  if (!env) return 0;  // not founded yet
  DROVER_ASSIGN(const auto totals,
                (*env)->read([&](const ReadTxn& txn) { return storage::Blobs::open(**env).totals_in(txn); }));
  return totals.held_bytes - totals.acked_bytes;
}

Result<Backlog> Fleet::backlog() {
  close_stores();
  Backlog backlog;
  for (size_t i = 0; i < options_.robots; ++i) {
    DROVER_ASSIGN(const uint64_t files, waiting_files(i));
    backlog.files += files;
    const auto env = robot_store(i);
    if (!env) continue;
    const auto journal = storage::Journal::open_existing(**env);
    if (!journal) continue;
    DROVER_ASSIGN(const auto facts, journal->facts(**env));
    DROVER_ASSIGN(const uint64_t unsent_bytes, chunk_backlog_bytes(i));
    backlog.records += facts.last_seq - facts.acked_seq;
    backlog.chunk_bytes += unsent_bytes;
  }
  const auto store = central_store();
  if (!store) return backlog;
  const sync::CentralStore& centre = **store;
  DROVER_ASSIGN(const auto streams,
                centre.inbox_env().read([&](const ReadTxn& t) { return centre.inbox().streams_in(t); }));
  for (const auto& stream : streams) {
    DROVER_ASSIGN(const uint64_t applied, centre.applied_seq({stream.robot, stream.incarnation}));
    backlog.unapplied += stream.durable_seq - std::min(stream.durable_seq, applied);
  }
  DROVER_ASSIGN(const auto totals,
                centre.central_env().read([&](const ReadTxn& t) { return centre.blobs().totals_in(t); }));
  backlog.chunks_wanted = totals.wanted_chunks;
  return backlog;
}

void Fleet::close_stores() {
  for (auto& store : stores_) store.reset();
  central_.reset();
}

sync::AuditFolders Fleet::folders() const {
  sync::AuditFolders folders{options_.folder + "/store-centre", {}};
  for (size_t i = 0; i < options_.robots; ++i) folders.robots.push_back(options_.folder + "/store-" + robot_name(i));
  return folders;
}

Result<Ran> Fleet::audit_program(const std::vector<std::string>& more) const {
  const auto where = folders();
  std::vector<std::string> words{options_.drover, "audit", "--store", where.centre};
  for (const std::string& robot : where.robots) words.insert(words.end(), {"--robot", robot});
  words.insert(words.end(), more.begin(), more.end());
  return run_program(words, options_.folder);
}

}  // namespace drover::crash
