// The certificate authority: what it issues is what it says, files are safe, and what is wrong is refused.
#include "actors/network/authority.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>

namespace drover::network {

namespace {

constexpr int64_t now_s = 1'767'225'600;  // 2026-01-01

struct TempFolder {
  std::filesystem::path path;
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "drover-authority-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path); }
};

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

}  // namespace

TEST_CASE("network/authority: a node certificate says who, until when and for what, and verifies") {
  const auto ca = create_authority("test fleet", now_s, 3650);
  REQUIRE(ca.has_value());
  CHECK(describe_certificate(ca->certificate_pem)->is_authority);
  const auto node = issue_certificate(*ca, {{Role::coordinator, "centre"}, {"centre.example", "10.0.0.7"}, now_s, 30});
  REQUIRE(node.has_value());
  const auto facts = describe_certificate(node->certificate_pem);
  REQUIRE(facts.has_value());
  CHECK(facts->common_name == "coordinator/centre");
  CHECK(facts->names == std::vector<std::string>{"centre", "centre.example", "10.0.0.7"});
  CHECK(facts->not_before_unix_s == now_s);
  CHECK(facts->not_after_unix_s == now_s + 30 * 86'400);
  CHECK_FALSE(facts->is_authority);
  CHECK(verify_credentials(*node, now_s + 1).has_value());
  CHECK(verify_credentials(*node, now_s + 31 * 86'400).error().what.find("expired") != std::string::npos);
  CHECK(verify_credentials(*node, now_s - 10).error().what.find("not yet valid") != std::string::npos);
}

TEST_CASE("network/authority: foreign signatures, foreign keys and damaged files are refused") {
  const auto ca = create_authority("a", now_s, 10), other = create_authority("b", now_s, 10);
  auto node = *issue_certificate(*ca, {{Role::robot, "robot-01"}, {}, now_s, 5});
  auto foreign = node;
  foreign.ca_pem = other->certificate_pem;
  CHECK_FALSE(verify_credentials(foreign, now_s).has_value());
  auto mixed = node;
  mixed.private_key_pem = issue_certificate(*ca, {{Role::robot, "robot-02"}, {}, now_s, 5})->private_key_pem;
  CHECK(verify_credentials(mixed, now_s).error().what == "the private key does not belong to the certificate");
  AuthorityPem crossed{ca->certificate_pem, other->private_key_pem};
  CHECK_FALSE(issue_certificate(crossed, {{Role::robot, "robot-01"}, {}, now_s, 5}).has_value());
  const unsigned seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 rng(seed);
  for (int i = 0; i < 100; ++i) {
    auto cut = node;
    cut.certificate_pem.resize(rng() % (cut.certificate_pem.size() - 5));
    CHECK_FALSE(verify_credentials(cut, now_s).has_value());
  }
}

TEST_CASE("network/authority: requests outside the rules are refused with the field's name") {
  const auto ca = create_authority("a", now_s, 10);
  CHECK_FALSE(issue_certificate(*ca, {{Role::unknown, "x"}, {}, now_s, 5}).has_value());
  CHECK_FALSE(issue_certificate(*ca, {{Role::robot, "a/b"}, {}, now_s, 5}).has_value());
  CHECK_FALSE(issue_certificate(*ca, {{Role::robot, "x"}, {"a,IP:1.2.3.4"}, now_s, 5}).has_value());
  CHECK(issue_certificate(*ca, {{Role::robot, "x"}, {}, now_s, 0}).error().where == "days");
  CHECK_FALSE(issue_certificate(*ca, {{Role::coordinator, std::string(64, 'a')}, {}, now_s, 5}).has_value());
}

TEST_CASE("network/authority: files are private, complete and never overwritten") {
  TempFolder folder;
  const auto ca = create_authority("a", now_s, 10);
  const auto signing = create_signing_key();
  REQUIRE(write_authority(folder.path / "ca", *ca, *signing).has_value());
  CHECK(mode_of(folder.path / "ca/ca.key") == 0600);
  CHECK(mode_of(folder.path / "ca/knowledge.key") == 0600);
  const auto again = write_authority(folder.path / "ca", *create_authority("b", now_s, 10), *signing);
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == Errc::already_exists);
  CHECK(load_authority(folder.path / "ca")->private_key_pem == ca->private_key_pem);
  const auto node = issue_certificate(*ca, {{Role::robot, "robot-01"}, {}, now_s, 5});
  REQUIRE(write_credentials(folder.path / "robot-01", *node).has_value());
  CHECK(mode_of(folder.path / "robot-01/node.key") == 0600);
  CHECK(verify_credentials(*load_credentials(folder.path / "robot-01"), now_s).has_value());
  CHECK(load_credentials(folder.path / "nobody").error().code == Errc::not_found);
  size_t left_over = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path))
    left_over += entry.path().string().find(".tmp.") != std::string::npos ? 1 : 0;
  CHECK(left_over == 0);
}

TEST_CASE("network/authority: Ed25519 signs knowledge; any changed byte is refused") {
  const auto key = create_signing_key(), other = create_signing_key();
  const auto message = Bytes::copy_of("knowledge version 7");
  const auto signature = sign(key->private_key_pem, message);
  REQUIRE(signature.has_value());
  CHECK(signature->size() == 64);
  CHECK(raw_public_key(key->public_key_pem)->size() == 32);
  CHECK(verify_signature(key->public_key_pem, message, *signature).has_value());
  CHECK_FALSE(verify_signature(other->public_key_pem, message, *signature).has_value());
  for (size_t i = 0; i < message.size(); ++i) {
    std::string changed(message.text());
    changed[i] = static_cast<char>(changed[i] ^ 1);
    CHECK_FALSE(verify_signature(key->public_key_pem, as_bytes(changed), *signature).has_value());
  }
  CHECK_FALSE(verify_signature(key->public_key_pem, message, signature->slice(0, 63)).has_value());
}

}  // namespace drover::network
