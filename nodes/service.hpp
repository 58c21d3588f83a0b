// Service: how a daemon lives under a service manager or in a terminal: readiness and watchdog messages, signals,
// one instance at a time, and an orderly end.
//
// SIGTERM and SIGINT ask for a clean stop with a deadline; a second SIGINT, or the deadline, ends the process at once
// (nothing acknowledged is lost: acknowledgements leave only after a sync). SIGHUP asks for a reload.
// A Service blocks these signals in the calling thread: make it first in main, before any thread is started, so
// that every thread inherits the mask.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "actors/runtime/clock.hpp"
#include "messages/result.hpp"
#include "nodes/exit_code.hpp"
#include "nodes/log.hpp"

namespace drover::nodes {

// The sd_notify protocol: plain datagrams to $NOTIFY_SOCKET. Without that variable every call does nothing.
// Threads: safe from any thread. Never blocks: a full socket drops the message.
class Notifier {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  static Notifier from_environment();
  // `socket`: a path, or "@name" for an abstract socket; empty: does nothing.
  Notifier(std::string socket, int64_t watchdog_ms);
  ~Notifier();
  Notifier(Notifier&& other) noexcept;
  Notifier& operator=(Notifier&&) = delete;

  void ready(std::string_view status);
  void status(std::string_view text);
  void reloading(const runtime::Clock& clock);
  void stopping(std::string_view status);
  void watchdog();

  bool active() const noexcept { return socket_ >= 0; }
  // The manager kills the daemon if watchdog() is not called for so long; 0: no watchdog.
  int64_t watchdog_ms() const noexcept { return watchdog_ms_; }

 private:
  void send(std::string_view message);

  std::string address_;
  int socket_ = -1;
  int64_t watchdog_ms_ = 0;
};

// One daemon per folder: an flock'ed file that holds the pid. The kernel frees it when the process ends, however it
// ends.
class InstanceLock {
 public:
  // Errors: conflict, naming the pid that holds it; io.
  static Result<InstanceLock> acquire(const std::string& file);
  ~InstanceLock();
  InstanceLock(InstanceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  InstanceLock& operator=(InstanceLock&&) = delete;

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

struct ServiceOptions {
  int64_t stop_deadline_ms = 10'000;
  int64_t status_period_ms = 5'000;
};

// What a daemon gives to the service loop. Every hook is called on the thread of run() and must not block.
struct ServiceHooks {
  std::function<void()> stop = {};           // begin the clean stop; call Service::finished when it is done. Needed
  std::function<void()> reload = {};         // SIGHUP
  std::function<bool()> healthy = {};        // false withholds the watchdog, so that the manager restarts the daemon
  std::function<std::string()> status = {};  // one line for the service manager
};

class Service {
 public:
  // Blocks SIGTERM, SIGINT, SIGHUP in this thread and ignores SIGPIPE. Errors: io.
  static Result<std::unique_ptr<Service>> create(ServiceOptions options, const runtime::Clock& clock, Log& log,
                                                 Notifier notifier);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // The node's work has ended: run() returns `code`. From any thread; the first call counts.
  void finished(ExitCode code, std::string reason);
  // Asks for a clean stop as SIGTERM does. From any thread.
  void request_stop();

  // Tells the manager that the daemon is ready, then serves signals until finished(). Past the stop deadline and at
  // a second SIGINT it does not return: the process ends with exit_stop_deadline or exit_interrupted.
  ExitCode run(const ServiceHooks& hooks);

  // For options that the configuration decides, known only after the signals were blocked. Before run().
  void configure(ServiceOptions options) { options_ = options; }
  Notifier& notifier() noexcept { return notifier_; }

 private:
  Service(ServiceOptions options, const runtime::Clock& clock, Log& log, Notifier notifier, int signals, int wake);
  void on_signal(int signal, const ServiceHooks& hooks);
  void begin_stop(std::string_view reason, const ServiceHooks& hooks);
  void tick(const ServiceHooks& hooks);
  int wait_ms() const;
  void wake();

  ServiceOptions options_;
  const runtime::Clock& clock_;
  Log& log_;
  Notifier notifier_;
  int signals_fd_;
  int wake_fd_;
  int64_t stop_deadline_ms_ = 0;  // steady; 0: not stopping
  int64_t next_status_ms_ = 0;
  int64_t next_watchdog_ms_ = 0;
  int interrupts_ = 0;
  std::atomic<bool> stop_requested_ = false;
  std::mutex mutex_;
  bool finished_ = false;
  ExitCode code_ = exit_ok;
  std::string reason_;
};

}  // namespace drover::nodes
