#include "actors/semantics/step_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "messages/hash.hpp"

namespace drover::semantics {
namespace {

constexpr size_t check_digits = 16;

// A file descriptor that closes itself.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> io_failure(const std::string& path, int why) {
  return fail(why == ENOSPC || why == EDQUOT ? Errc::disk_full : Errc::io, path, std::strerror(why));
}

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return io_failure(path, n == 0 ? ENOSPC : errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status sync_folder_of(const std::string& path) {
  const File folder(::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) return io_failure(path, errno);
  return {};
}

std::string check_of(std::string_view json) {
  return to_hex(sha256(as_bytes(json))).substr(0, check_digits);
}

std::string line_of(const StepNote& note) {
  JsonText out;
  out.begin_object().field("own_seq", note.own_seq).key("moves").begin_array();
  for (const StepMove& m : note.moves)
    out.begin_array().value(m.stream.robot).value(m.stream.incarnation).value(m.after).value(m.last).end_array();
  out.end_array().end_object();
  std::string line = std::move(out).text();
  const std::string check = check_of(line);
  line.append("\t").append(check).append("\n");
  return line;
}

// Nothing: the line is not whole.
std::optional<StepNote> note_of(std::string_view line) {
  const size_t tab = line.rfind('\t');
  if (tab == std::string_view::npos || line.substr(tab + 1) != check_of(line.substr(0, tab))) return std::nullopt;
  const nlohmann::json root = nlohmann::json::parse(line.substr(0, tab), nullptr, false);
  const auto own_seq = get_count(root, "own_seq");
  const auto moves = get_list(root, "moves");
  if (!own_seq || !moves) return std::nullopt;
  StepNote note{{}, *own_seq};
  for (const nlohmann::json& m : **moves) {
    if (!m.is_array() || m.size() != 4 || !m[0].is_string()) return std::nullopt;
    for (size_t i = 1; i < 4; ++i)
      if (!m[i].is_number_unsigned()) return std::nullopt;
    note.moves.push_back({{m[0].get<std::string>(), m[1].get<uint64_t>()}, m[2].get<uint64_t>(), m[3].get<uint64_t>()});
  }
  return note;
}

}  // namespace

Status replace_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".new";
  {
    const File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) return io_failure(temporary, errno);
    DROVER_TRY(write_all(file.get(), text, temporary));
    if (::fsync(file.get()) != 0) return io_failure(temporary, errno);
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return io_failure(path, errno);
  return sync_folder_of(path);
}

Result<std::vector<StepNote>> StepLog::read() {
  std::vector<StepNote> out;
  good_bytes_ = 0;
  std::ifstream in(path_, std::ios::binary);
  exists_ = static_cast<bool>(in);
  if (!exists_) return out;
  std::ostringstream all;
  all << in.rdbuf();
  if (in.bad()) return fail(Errc::io, path_, "cannot be read");
  const std::string text = std::move(all).str();
  bool torn = false;
  for (size_t from = 0; from < text.size();) {
    const size_t end = text.find('\n', from);
    auto note = end == std::string::npos ? std::nullopt : note_of(std::string_view(text).substr(from, end - from));
    if (note && torn) return fail(Errc::corrupt, path_, "a damaged line comes before a good one");
    torn = torn || !note;
    if (note) out.push_back(std::move(*note)), good_bytes_ = end + 1;
    if (end == std::string::npos) break;
    from = end + 1;
  }
  notes_ = out.size();
  return out;
}

Status StepLog::append(const StepNote& note) {
  const File file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() < 0) return io_failure(path_, errno);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return io_failure(path_, errno);
  const auto good = static_cast<off_t>(good_bytes_);
  if (facts.st_size < good) return fail(Errc::corrupt, path_, "is shorter than what was written to it");
  if (facts.st_size > good && ::ftruncate(file.get(), good) != 0) return io_failure(path_, errno);
  if (::lseek(file.get(), good, SEEK_SET) < 0) return io_failure(path_, errno);
  const std::string line = line_of(note);
  DROVER_TRY(write_all(file.get(), line, path_));
  if (::fdatasync(file.get()) != 0) return io_failure(path_, errno);
  if (!exists_) {
    DROVER_TRY(sync_folder_of(path_));
  }
  exists_ = true;
  good_bytes_ += line.size();
  ++notes_;
  return {};
}

}  // namespace drover::semantics
