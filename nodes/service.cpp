#include "nodes/service.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace drover::nodes {
namespace {

int64_t environment_number(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return 0;
  int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [last, error] = std::from_chars(text, end, value);
  return error == std::errc{} && last == end ? value : 0;
}

// One line, so that a status cannot smuggle in another assignment.
std::string one_line(std::string_view text) {
  std::string out(text.substr(0, 1024));
  std::replace(out.begin(), out.end(), '\n', ' ');
  return out;
}

}  // namespace

// ---- Notifier ------------------------------------------------------------------------------------

Notifier Notifier::from_environment() {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  const int64_t pid = environment_number("WATCHDOG_PID");
  const bool watched = pid == 0 || pid == getpid();
  const int64_t watchdog_ms = watched ? environment_number("WATCHDOG_USEC") / 1000 : 0;
  return Notifier(socket == nullptr ? "" : socket, watchdog_ms);
}

Notifier::Notifier(std::string socket_name, int64_t watchdog_ms)
    : address_(std::move(socket_name)), watchdog_ms_(std::max<int64_t>(0, watchdog_ms)) {
  const bool usable = address_.size() > 1 && address_.size() < sizeof(sockaddr_un{}.sun_path) &&
                      (address_.front() == '/' || address_.front() == '@');
  if (usable) socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) watchdog_ms_ = 0;
}

Notifier::Notifier(Notifier&& other) noexcept
    : address_(std::move(other.address_)),
      socket_(std::exchange(other.socket_, -1)),
      watchdog_ms_(other.watchdog_ms_) {}

Notifier::~Notifier() {
  if (socket_ >= 0) close(socket_);
}

void Notifier::send(std::string_view message) {
  if (socket_ < 0) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (address_.front() == '@') to.sun_path[0] = '\0';  // abstract: the name has no end mark
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  // A manager that is gone or slow must not disturb the daemon.
  (void)sendto(socket_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to),
               size);
}

void Notifier::ready(std::string_view status) {
  send("READY=1\nSTATUS=" + one_line(status) + "\nMAINPID=" + std::to_string(getpid()));
}
void Notifier::status(std::string_view text) {
  send("STATUS=" + one_line(text));
}
void Notifier::reloading(const runtime::Clock& clock) {
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(clock.steady_ns() / 1000));
}
void Notifier::stopping(std::string_view status) {
  send("STOPPING=1\nSTATUS=" + one_line(status));
}
void Notifier::watchdog() {
  send("WATCHDOG=1");
}

// ---- InstanceLock --------------------------------------------------------------------------------

Result<InstanceLock> InstanceLock::acquire(const std::string& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return fail(Errc::io, file, std::strerror(errno));
  InstanceLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(Errc::io, file, std::strerror(errno));
    char holder[24] = {};
    const ssize_t size = pread(fd, holder, sizeof holder - 1, 0);
    std::string pid(holder, size > 0 ? static_cast<size_t>(size) : 0);
    while (!pid.empty() && (pid.back() == '\n' || pid.back() == ' ')) pid.pop_back();
    return fail(Errc::conflict, file, "another daemon is running here, pid " + (pid.empty() ? "unknown" : pid));
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return fail(Errc::io, file, std::strerror(errno));
  }
  return lock;
}

InstanceLock::~InstanceLock() {
  if (fd_ >= 0) close(fd_);
}

// ---- Service -------------------------------------------------------------------------------------

Result<std::unique_ptr<Service>> Service::create(ServiceOptions options, const runtime::Clock& clock, Log& log,
                                                 Notifier notifier) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that is gone is an error value, not the end of the node
  sigset_t mask;
  sigemptyset(&mask);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&mask, signal);
  if (const int error = pthread_sigmask(SIG_BLOCK, &mask, nullptr); error != 0) {
    return fail(Errc::io, "signals", std::strerror(error));
  }
  const int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) return fail(Errc::io, "signalfd", std::strerror(errno));
  const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) {
    const int error = errno;
    close(signals);
    return fail(Errc::io, "eventfd", std::strerror(error));
  }
  return std::unique_ptr<Service>(new Service(options, clock, log, std::move(notifier), signals, wake));
}

Service::Service(ServiceOptions options, const runtime::Clock& clock, Log& log, Notifier notifier, int signals,
                 int wake)
    : options_(options),
      clock_(clock),
      log_(log),
      notifier_(std::move(notifier)),
      signals_fd_(signals),
      wake_fd_(wake) {}

Service::~Service() {
  close(signals_fd_);
  close(wake_fd_);
}

void Service::wake() {
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof one);  // full means that a wake-up is pending already
}

void Service::finished(ExitCode code, std::string reason) {
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    finished_ = true;
    code_ = code;
    reason_ = std::move(reason);
  }
  wake();
}

void Service::request_stop() {
  stop_requested_ = true;
  wake();
}

void Service::begin_stop(std::string_view reason, const ServiceHooks& hooks) {
  if (stop_deadline_ms_ != 0) return;
  stop_deadline_ms_ = std::max<int64_t>(1, clock_.steady_ms() + options_.stop_deadline_ms);
  log_.event(LogLevel::info, "service.stopping", {{"reason", reason}, {"deadline_ms", options_.stop_deadline_ms}});
  notifier_.stopping("stopping");
  hooks.stop();
}

void Service::on_signal(int signal, const ServiceHooks& hooks) {
  if (signal == SIGHUP) {
    if (stop_deadline_ms_ != 0) return;
    log_.event(LogLevel::info, "service.reload", {});
    notifier_.reloading(clock_);
    if (hooks.reload) hooks.reload();
    notifier_.ready("running");
    return;
  }
  if (signal == SIGINT && ++interrupts_ > 1) {
    log_.event(LogLevel::warn, "service.interrupted", {});
    std::_Exit(exit_interrupted);
  }
  begin_stop(signal == SIGINT ? "SIGINT" : "SIGTERM", hooks);
}

void Service::tick(const ServiceHooks& hooks) {
  const int64_t now_ms = clock_.steady_ms();
  if (stop_deadline_ms_ != 0 && now_ms >= stop_deadline_ms_) {
    log_.event(LogLevel::warn, "service.stop_deadline", {{"deadline_ms", options_.stop_deadline_ms}});
    std::_Exit(exit_stop_deadline);
  }
  if (notifier_.watchdog_ms() > 0 && now_ms >= next_watchdog_ms_) {
    next_watchdog_ms_ = now_ms + std::max<int64_t>(1, notifier_.watchdog_ms() / 3);
    if (!hooks.healthy || hooks.healthy()) notifier_.watchdog();
  }
  if (now_ms >= next_status_ms_) {
    next_status_ms_ = now_ms + options_.status_period_ms;
    if (hooks.status && stop_deadline_ms_ == 0) notifier_.status(hooks.status());
    log_.flush_repeats();
  }
}

int Service::wait_ms() const {
  int64_t until = next_status_ms_;
  if (notifier_.watchdog_ms() > 0) until = std::min(until, next_watchdog_ms_);
  if (stop_deadline_ms_ != 0) until = std::min(until, stop_deadline_ms_);
  return static_cast<int>(std::clamp<int64_t>(until - clock_.steady_ms(), 0, 60'000));
}

ExitCode Service::run(const ServiceHooks& hooks) {
  notifier_.ready("running");
  log_.event(LogLevel::info, "service.ready", {{"pid", getpid()}});
  while (true) {
    tick(hooks);
    {
      const std::lock_guard lock(mutex_);
      if (finished_) break;
    }
    if (stop_requested_.exchange(false)) begin_stop("request", hooks);
    pollfd fds[2] = {{signals_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    (void)poll(fds, 2, wait_ms());  // EINTR and errors only cost a round
    uint64_t wakes = 0;
    (void)!read(wake_fd_, &wakes, sizeof wakes);
    signalfd_siginfo info{};
    while (read(signals_fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      on_signal(static_cast<int>(info.ssi_signo), hooks);
    }
  }
  const std::lock_guard lock(mutex_);
  log_.event(code_ == exit_ok ? LogLevel::info : LogLevel::error, "service.stopped",
             {{"code", static_cast<int>(code_)}, {"reason", reason_}});
  if (stop_deadline_ms_ == 0) notifier_.stopping(reason_);
  return code_;
}

}  // namespace drover::nodes
