// Fleet: one coordinator and some robots as real processes over mutual TLS, set up exactly as a user would: `drover
// enroll`, TOML files, spool folders. Its stores are watched from outside, read only.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/sync/audit.hpp"
#include "storage/env.hpp"
#include "stress/crash/process.hpp"

namespace drover::crash {

inline constexpr size_t robots = 3;              // unless the options of a fleet say otherwise
inline constexpr size_t processes = robots + 1;  // the last is the coordinator

// Everything that waits, waits shortly.
inline constexpr std::string_view quick =
    "[network]\nping_period_ms = 100\nping_timeout_ms = 2000\nbackoff_min_ms = 10\nbackoff_max_ms = 100\n"
    "[service]\nstop_deadline_ms = 10000\n";

// The logs of the robots, in the order of their arrival. Real ones come first, then generated ones without end. The
// same index gives the same file, with names in ascending order.
class Logs {
 public:
  // `folder`: real logs in it or in the folders right below it, one folder to a robot in turn; empty: none.
  static Result<Logs> open(const std::string& folder, uint64_t seed, uint32_t episodes);
  struct File {
    std::string name;
    std::string content;
  };
  Result<File> file(size_t robot, size_t index) const;
  size_t real_files(size_t robot) const { return real_[robot].size(); }

 private:
  uint64_t seed_ = 0;
  uint32_t episodes_ = 0;
  std::array<std::vector<std::filesystem::path>, robots> real_;
};

// What is still to do, as the stores show it.
struct Backlog {
  uint64_t files = 0;          // delivered and not settled
  uint64_t records = 0;        // journaled and not acknowledged
  uint64_t chunk_bytes = 0;    // held and not acknowledged
  uint64_t unapplied = 0;      // in the inbox and not applied
  uint64_t chunks_wanted = 0;  // by the centre
  bool moving() const { return records + chunk_bytes + unapplied + chunks_wanted > 0; }
  bool drained() const { return files == 0 && !moving(); }
};

struct FleetOptions {
  std::string folder;   // made if absent
  std::string drover;   // the program
  std::string configs;  // the shipped configs folder
  uint64_t blob_bytes_per_s = 8u << 20;
  size_t robots = crash::robots;
  std::string tables = std::string(quick);  // TOML tables that every configuration has: network, service
  // The port at which a robot finds the coordinator that listens on `centre`; none: `centre`.
  std::function<Result<uint16_t>(size_t robot, uint16_t centre)> dial_port = {};
  // "NAME=value" for the environment of a process (the last is the coordinator); none: ours.
  std::function<std::vector<std::string>(size_t process)> environment = {};
};

class Fleet {
 public:
  static Result<std::unique_ptr<Fleet>> create(const FleetOptions& options);

  size_t robot_count() const { return options_.robots; }
  // The last is the coordinator.
  size_t process_count() const { return processes_.size(); }
  Process& process(size_t index) { return *processes_[index]; }
  uint16_t port() const { return port_; }  // of the coordinator
  Status start_all();
  // Puts the robot's next file into its spool, in one step.
  Status deliver(const Logs& logs, size_t robot);
  size_t delivered(size_t robot) const { return delivered_[robot]; }
  // Files delivered to the robot that it has not settled.
  Result<uint64_t> waiting_files(size_t robot);
  // Bytes of chunks that the robot still has to send.
  Result<uint64_t> chunk_backlog_bytes(size_t robot);
  Result<Backlog> backlog();
  // Lets go of the stores, so that others in this process may open them.
  void close_stores();

  sync::AuditFolders folders() const;
  // Runs the shipped `drover audit` with these words added.
  Result<Ran> audit_program(const std::vector<std::string>& more) const;
  const std::string& folder() const { return options_.folder; }

 private:
  explicit Fleet(FleetOptions options)
      : options_(std::move(options)), delivered_(options_.robots), stores_(options_.robots) {}
  Status enroll(const std::vector<std::string>& words);
  Status write_configs();
  Status write_robot_config(size_t robot);
  void make_process(size_t index);
  Result<storage::Env*> robot_store(size_t robot);
  Result<sync::CentralStore*> central_store();

  FleetOptions options_;
  uint16_t port_ = 0;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<size_t> delivered_;
  std::vector<std::optional<storage::Env>> stores_;
  std::unique_ptr<sync::CentralStore> central_;
};

std::string robot_name(size_t robot);

// ---- what every fleet of real processes needs
Status write_text(const std::filesystem::path& path, std::string_view text);
// A port that nobody listens on now.
Result<uint16_t> free_port();
std::string node_section(const std::string& id, const std::string& store);
std::string tls_section(const std::string& node);

// What capture wrote into a robot's marks.
std::optional<sync::SourceClaim> read_claim(std::string_view key, std::string_view value);

}  // namespace drover::crash
