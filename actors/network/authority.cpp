#include "actors/network/authority.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "messages/hash.hpp"

namespace drover::network {

namespace {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;
using Cert = std::unique_ptr<X509, Freer<X509_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using Store = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

tl::unexpected<Error> openssl_error(const char* where, Errc code = Errc::internal) {
  char text[256] = "no detail";
  if (const auto number = ERR_peek_last_error()) ERR_error_string_n(number, text, sizeof text);
  ERR_clear_error();
  return fail(code, where, text);
}

std::string drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

Bio text_bio(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// PEM of an encrypted key must fail, not ask the terminal for a password.
int no_password(char*, int, int, void*) {
  return 0;
}

Result<Cert> parse_cert(const std::string& pem) {
  Cert cert(PEM_read_bio_X509(text_bio(pem).get(), nullptr, no_password, nullptr));
  if (!cert) return openssl_error("certificate", Errc::corrupt);
  return cert;
}

Result<Key> parse_private_key(const std::string& pem) {
  Key key(PEM_read_bio_PrivateKey(text_bio(pem).get(), nullptr, no_password, nullptr));
  if (!key) return openssl_error("private key", Errc::corrupt);
  return key;
}

Result<Key> parse_public_key(const std::string& pem) {
  Key key(PEM_read_bio_PUBKEY(text_bio(pem).get(), nullptr, no_password, nullptr));
  if (!key) return openssl_error("public key", Errc::corrupt);
  return key;
}

Result<std::string> cert_pem(X509* cert) {
  Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), cert) != 1) return openssl_error("certificate");
  return drain(bio.get());
}

Result<std::string> private_pem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return openssl_error("private key");
  return drain(bio.get());
}

Result<std::string> public_pem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PUBKEY(bio.get(), key) != 1) return openssl_error("public key");
  return drain(bio.get());
}

Status add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(cert, extension.get(), -1) != 1) return openssl_error("certificate extension");
  return {};
}

struct Subject {
  std::string common_name;
  std::string organisation;
  int64_t not_before_unix_s;
  uint32_t days;
};

// Everything of a certificate but its extensions and signature.
Result<Cert> blank_cert(const Subject& subject, EVP_PKEY* public_key) {
  if (subject.days < 1 || subject.days > 3650) return fail(Errc::invalid_argument, "days", "must be 1 .. 3,650");
  if (subject.common_name.empty() || subject.common_name.size() > 64)
    return fail(Errc::invalid_argument, "common name \"" + printable(subject.common_name) + "\"",
                "must have 1 .. 64 characters: use a shorter node id");
  Cert cert(X509_new());
  unsigned char serial[16];
  if (!cert || RAND_bytes(serial, sizeof serial) != 1) return openssl_error("certificate");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);  // positive, always 16 bytes
  std::unique_ptr<BIGNUM, Freer<BN_free>> number(BN_bin2bn(serial, sizeof serial, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert.get()));
  X509_set_version(cert.get(), 2);
  ASN1_TIME_set(X509_getm_notBefore(cert.get()), static_cast<time_t>(subject.not_before_unix_s));
  ASN1_TIME_set(X509_getm_notAfter(cert.get()),
                static_cast<time_t>(subject.not_before_unix_s + int64_t{subject.days} * 86'400));
  X509_set_pubkey(cert.get(), public_key);
  X509_NAME* name = X509_get_subject_name(cert.get());
  const auto add = [&](const char* field, const std::string& value) {
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  if (!subject.organisation.empty() && !add("OU", subject.organisation)) return openssl_error("certificate subject");
  if (!add("CN", subject.common_name)) return openssl_error("certificate subject");
  return cert;
}

bool is_ip_address(const std::string& text) {
  unsigned char buffer[16];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

// "DNS:robot-07,IP:10.0.0.7". Names are checked because the text is a small language of its own.
Result<std::string> alternative_names(const CertificateRequest& request) {
  std::string text = "DNS:" + request.name.node_id;
  for (const auto& name : request.extra_names) {
    if (is_ip_address(name)) {
      text += ",IP:" + name;
      continue;
    }
    for (const char c : name) {
      const bool ok = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_';
      if (!ok) return fail(Errc::invalid_argument, "name \"" + printable(name) + "\"", "is no DNS name or IP address");
    }
    if (name.empty() || name.size() > 253) return fail(Errc::invalid_argument, "name", "must have 1 .. 253 characters");
    text += ",DNS:" + name;
  }
  return text;
}

int64_t unix_seconds(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<int64_t>(timegm(&parts));
}

std::string one_line(X509_NAME* name) {
  Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return drain(bio.get());
}

void collect_names(X509* cert, std::vector<std::string>& out) {
  std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      out.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      char text[64] = "";
      const int size = ASN1_STRING_length(name->d.iPAddress);
      inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text);
      out.emplace_back(text);
    }
  }
}

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Errc::not_found, path.string(), std::strerror(errno));
  std::stringstream content;
  content << in.rdbuf();
  return std::move(content).str();
}

tl::unexpected<Error> io_error(const std::filesystem::path& path, const char* what) {
  return fail(Errc::io, path.string(), std::string(what) + ": " + std::strerror(errno));
}

Status write_all_synced(int fd, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io_error(path, "write");
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(fd) != 0) return io_error(path, "fsync");
  return {};
}

}  // namespace

Result<AuthorityPem> create_authority(const std::string& fleet_name, int64_t not_before_unix_s, uint32_t days) {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("authority key");
  DROVER_ASSIGN(Cert cert, blank_cert({fleet_name, "authority", not_before_unix_s, days}, key.get()));
  X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get()));
  DROVER_TRY(add_extension(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  DROVER_TRY(add_extension(cert.get(), cert.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  DROVER_TRY(add_extension(cert.get(), cert.get(), NID_subject_key_identifier, "hash"));
  if (X509_sign(cert.get(), key.get(), EVP_sha256()) == 0) return openssl_error("authority signature");
  AuthorityPem pem;
  DROVER_ASSIGN(pem.certificate_pem, cert_pem(cert.get()));
  DROVER_ASSIGN(pem.private_key_pem, private_pem(key.get()));
  return pem;
}

Result<Credentials> issue_certificate(const AuthorityPem& authority, const CertificateRequest& request) {
  if (request.name.role == Role::unknown || !valid_node_id(request.name.node_id))
    return fail(Errc::invalid_argument, "node \"" + printable(request.name.text()) + "\"",
                "needs a role and a node id [a-z0-9._-]{1,64}");
  DROVER_ASSIGN(Cert ca, parse_cert(authority.certificate_pem));
  DROVER_ASSIGN(Key ca_key, parse_private_key(authority.private_key_pem));
  if (X509_check_private_key(ca.get(), ca_key.get()) != 1)
    return openssl_error("authority key does not match its certificate", Errc::invalid_argument);
  DROVER_ASSIGN(const std::string names, alternative_names(request));
  Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("node key");
  DROVER_ASSIGN(Cert cert, blank_cert({request.name.text(), std::string(role_name(request.name.role)),
                                       request.not_before_unix_s, request.days},
                                      key.get()));
  X509_set_issuer_name(cert.get(), X509_get_subject_name(ca.get()));
  const bool serves = request.name.role == Role::coordinator || request.name.role == Role::gateway;
  DROVER_TRY(add_extension(cert.get(), ca.get(), NID_basic_constraints, "critical,CA:FALSE"));
  DROVER_TRY(add_extension(cert.get(), ca.get(), NID_key_usage, "critical,digitalSignature"));
  DROVER_TRY(add_extension(cert.get(), ca.get(), NID_ext_key_usage, serves ? "serverAuth,clientAuth" : "clientAuth"));
  DROVER_TRY(add_extension(cert.get(), ca.get(), NID_subject_alt_name, names));
  DROVER_TRY(add_extension(cert.get(), ca.get(), NID_authority_key_identifier, "keyid"));
  if (X509_sign(cert.get(), ca_key.get(), EVP_sha256()) == 0) return openssl_error("certificate signature");
  Credentials credentials;
  DROVER_ASSIGN(credentials.certificate_pem, cert_pem(cert.get()));
  DROVER_ASSIGN(credentials.private_key_pem, private_pem(key.get()));
  credentials.ca_pem = authority.certificate_pem;
  return credentials;
}

Result<CertificateFacts> describe_certificate(const std::string& certificate_pem) {
  DROVER_ASSIGN(Cert cert, parse_cert(certificate_pem));
  CertificateFacts facts;
  X509_NAME* subject = X509_get_subject_name(cert.get());
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) {
    const ASN1_STRING* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    facts.common_name.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                             static_cast<size_t>(ASN1_STRING_length(text)));
  }
  facts.issuer = one_line(X509_get_issuer_name(cert.get()));
  std::unique_ptr<BIGNUM, Freer<BN_free>> serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert.get()), nullptr));
  char* hex = BN_bn2hex(serial.get());
  facts.serial_hex = hex;
  OPENSSL_free(hex);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  X509_digest(cert.get(), EVP_sha256(), digest, &digest_size);
  facts.sha256_hex = to_hex(ByteView(reinterpret_cast<const std::byte*>(digest), digest_size));
  collect_names(cert.get(), facts.names);
  facts.not_before_unix_s = unix_seconds(X509_get0_notBefore(cert.get()));
  facts.not_after_unix_s = unix_seconds(X509_get0_notAfter(cert.get()));
  facts.is_authority = X509_check_ca(cert.get()) == 1;
  return facts;
}

Status verify_credentials(const Credentials& credentials, int64_t now_unix_s) {
  DROVER_ASSIGN(Cert ca, parse_cert(credentials.ca_pem));
  DROVER_ASSIGN(Cert cert, parse_cert(credentials.certificate_pem));
  DROVER_ASSIGN(Key key, parse_private_key(credentials.private_key_pem));
  DROVER_ASSIGN(const CertificateFacts facts, describe_certificate(credentials.certificate_pem));
  if (X509_check_private_key(cert.get(), key.get()) != 1)
    return fail(Errc::refused, facts.common_name, "the private key does not belong to the certificate");
  Store store(X509_STORE_new());
  StoreContext context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), ca.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), cert.get(), nullptr) != 1)
    return openssl_error("certificate verification");
  X509_STORE_CTX_set_time(context.get(), 0, static_cast<time_t>(now_unix_s));
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT);
  if (X509_verify_cert(context.get()) != 1)
    return fail(Errc::refused, facts.common_name,
                X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  DROVER_TRY(parse_common_name(facts.common_name));
  return {};
}

Result<SigningKeyPem> create_signing_key() {
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key) return openssl_error("signing key");
  SigningKeyPem pem;
  DROVER_ASSIGN(pem.private_key_pem, private_pem(key.get()));
  DROVER_ASSIGN(pem.public_key_pem, public_pem(key.get()));
  return pem;
}

Result<Bytes> sign(const std::string& private_key_pem, ByteView message) {
  DROVER_ASSIGN(Key key, parse_private_key(private_key_pem));
  DigestContext context(EVP_MD_CTX_new());
  const auto* data = reinterpret_cast<const unsigned char*>(message.data());
  unsigned char signature[64];
  size_t size = sizeof signature;
  if (EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) return fail(Errc::invalid_argument, "signing key", "no Ed25519");
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature, &size, data, message.size()) != 1)
    return openssl_error("signature");
  return Bytes::copy_of(ByteView(reinterpret_cast<const std::byte*>(signature), size));
}

Status verify_signature(const std::string& public_key_pem, ByteView message, ByteView signature) {
  DROVER_ASSIGN(Key key, parse_public_key(public_key_pem));
  DigestContext context(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1)
    return openssl_error("signature", Errc::invalid_argument);
  const int ok =
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                       reinterpret_cast<const unsigned char*>(message.data()), message.size());
  ERR_clear_error();
  if (ok != 1) return fail(Errc::refused, "signature", "is not of this content by this key");
  return {};
}

Result<Bytes> raw_public_key(const std::string& public_key_pem) {
  DROVER_ASSIGN(Key key, parse_public_key(public_key_pem));
  unsigned char raw[32];
  size_t size = sizeof raw;
  if (EVP_PKEY_get_raw_public_key(key.get(), raw, &size) != 1)
    return openssl_error("public key", Errc::invalid_argument);
  return Bytes::copy_of(ByteView(reinterpret_cast<const std::byte*>(raw), size));
}

Status write_new_file(const std::filesystem::path& path, std::string_view content, bool secret) {
  const std::filesystem::path temporary = path.string() + ".tmp." + std::to_string(::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, secret ? 0600 : 0644);
  if (fd < 0) return io_error(temporary, "create");
  Status written = write_all_synced(fd, content, temporary);
  if (::close(fd) != 0 && written) written = io_error(temporary, "close");
  // link() and not rename(): it refuses to replace what another enroll wrote meanwhile.
  if (written && ::link(temporary.c_str(), path.c_str()) != 0)
    written = errno == EEXIST
                  ? Status(fail(Errc::already_exists, path.string(), "is there already; nothing was changed"))
                  : Status(io_error(path, "link"));
  ::unlink(temporary.c_str());
  DROVER_TRY(written);
  const int folder = ::open(path.parent_path().empty() ? "." : path.parent_path().c_str(), O_RDONLY | O_DIRECTORY);
  if (folder < 0) return io_error(path.parent_path(), "open");
  const bool synced = ::fsync(folder) == 0;
  ::close(folder);
  if (!synced) return io_error(path.parent_path(), "fsync");
  return {};
}

namespace {

struct NewFile {
  const char* name;
  const std::string& content;
  bool secret;
};

// All or nothing as far as existing files go: refuses before the first write when any is there.
Status write_folder(const std::filesystem::path& folder, std::initializer_list<NewFile> files) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(Errc::io, folder.string(), error.message());
  for (const auto& file : files)
    if (std::filesystem::exists(folder / file.name))
      return fail(Errc::already_exists, (folder / file.name).string(), "is there already; nothing was changed");
  for (const auto& file : files) DROVER_TRY(write_new_file(folder / file.name, file.content, file.secret));
  return {};
}

}  // namespace

Status write_authority(const std::filesystem::path& folder, const AuthorityPem& authority,
                       const SigningKeyPem& signing) {
  return write_folder(folder, {{"ca.key", authority.private_key_pem, true},
                               {"ca.pem", authority.certificate_pem, false},
                               {"knowledge.key", signing.private_key_pem, true},
                               {"knowledge.pub", signing.public_key_pem, false}});
}

Result<AuthorityPem> load_authority(const std::filesystem::path& folder) {
  AuthorityPem authority;
  DROVER_ASSIGN(authority.certificate_pem, read_file(folder / "ca.pem"));
  DROVER_ASSIGN(authority.private_key_pem, read_file(folder / "ca.key"));
  return authority;
}

Status write_credentials(const std::filesystem::path& folder, const Credentials& credentials) {
  return write_folder(folder, {{"node.key", credentials.private_key_pem, true},
                               {"node.pem", credentials.certificate_pem, false},
                               {"ca.pem", credentials.ca_pem, false}});
}

Result<Credentials> load_credentials(const std::filesystem::path& folder) {
  Credentials credentials;
  DROVER_ASSIGN(credentials.certificate_pem, read_file(folder / "node.pem"));
  DROVER_ASSIGN(credentials.private_key_pem, read_file(folder / "node.key"));
  DROVER_ASSIGN(credentials.ca_pem, read_file(folder / "ca.pem"));
  return credentials;
}

}  // namespace drover::network
