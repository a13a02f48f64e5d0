//! What signs a URL: two signings of one object are one image.
//!
//! A signer is recognised by its signature parameter. Then its own parameters say nothing of the
//! image; those of any other signer do. What makes another image of an object (`x-oss-process`,
//! `imageMogr2`) always stays.

use crate::net::url_text::starts_with_ignore_case;

/// Who signs URLs, and by which query parameters. Names are in lower case and compared without case.
struct Signer {
    /// Its presence shows that this signer signed.
    signature: &'static str,
    /// Must be there too, where several signers call their signature the same.
    beside: Option<&'static str>,
    /// Its other parameters.
    names: &'static [&'static str],
    /// All of its parameters begin like this.
    prefix: Option<&'static str>,
    /// Begins like its parameters and makes another image.
    processing: &'static [&'static str],
}

impl Signer {
    const fn named(
        signature: &'static str,
        beside: Option<&'static str>,
        names: &'static [&'static str],
    ) -> Self {
        Self { signature, beside, names, prefix: None, processing: &[] }
    }

    const fn prefixed(
        signature: &'static str,
        prefix: &'static str,
        names: &'static [&'static str],
        processing: &'static [&'static str],
    ) -> Self {
        Self { signature, beside: None, names, prefix: Some(prefix), processing }
    }

    fn signed(&self, names: &[&str]) -> bool {
        let has = |wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
        has(self.signature) && self.beside.is_none_or(has)
    }

    fn owns(&self, name: &str) -> bool {
        let is = |own: &str| name.eq_ignore_ascii_case(own);
        let begins = |start: &str| starts_with_ignore_case(name, start);
        is(self.signature)
            || self.beside.is_some_and(is)
            || self.names.iter().any(|own| is(own))
            || self.prefix.is_some_and(begins) && !self.processing.iter().any(|own| begins(own))
    }
}

/// The URL less the query parameters that sign it; the rest stays as it is.
pub(super) fn without_signature(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let names: Vec<&str> = query.split('&').map(name_of).collect();
    let signers: Vec<&Signer> = SIGNERS.iter().filter(|signer| signer.signed(&names)).collect();
    if signers.is_empty() {
        return url.to_owned();
    }
    let stays = |pair: &&str| !signers.iter().any(|signer| signer.owns(name_of(pair)));
    let kept: Vec<&str> = query.split('&').filter(stays).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// Each as its own documentation of presigned URLs names its parameters.
const SIGNERS: [Signer; 12] = [
    // Alibaba Cloud OSS, version 1; `security-token` with temporary credentials.
    Signer::named("signature", Some("ossaccesskeyid"), &["expires", "security-token"]),
    // … and version 4. https://help.aliyun.com/zh/oss/developer-reference/add-signatures-to-urls
    Signer::prefixed("x-oss-signature", "x-oss-", &[], &["x-oss-process", "x-oss-async-process"]),
    // Amazon S3, versions 2 and 4.
    Signer::named("signature", Some("awsaccesskeyid"), &["expires", "x-amz-security-token"]),
    Signer::prefixed("x-amz-signature", "x-amz-", &[], &[]),
    // Amazon CloudFront, canned and custom policies.
    Signer::named("signature", Some("key-pair-id"), &["expires", "policy"]),
    // Google Cloud Storage, versions 2 and 4.
    Signer::named("signature", Some("googleaccessid"), &["expires"]),
    Signer::prefixed("x-goog-signature", "x-goog-", &[], &[]),
    // Azure Storage: service, account and user delegation SAS.
    Signer::named(
        "sig",
        Some("sv"),
        &[
            "se", "st", "sp", "sr", "spr", "sip", "ss", "srt", "skoid", "sktid", "skt", "ske",
            "sks", "skv", "saoid", "suoid", "scid", "sdd", "si",
        ],
    ),
    // Tencent Cloud COS.
    Signer::prefixed("q-signature", "q-", &["x-cos-security-token"], &[]),
    // Huawei Cloud OBS.
    Signer::named("signature", Some("accesskeyid"), &["expires", "x-obs-security-token"]),
    // Volcengine TOS.
    Signer::prefixed("x-tos-signature", "x-tos-", &[], &["x-tos-process"]),
    // Qiniu Kodo.
    Signer::named("token", Some("e"), &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// For each signer: what it adds to a URL, twice. Each begins with the signature.
    const SIGNINGS: [(&str, &str, &str); 14] = [
        (
            "OSS 1",
            "Signature=vjby%2BT0%3D&OSSAccessKeyId=LTAI5t&Expires=1141889120",
            "Signature=abc%3D&OSSAccessKeyId=LTAI5u&Expires=1141889999",
        ),
        (
            "OSS 1, temporary credentials",
            "Signature=a&OSSAccessKeyId=STS.N1&Expires=1&security-token=CAIS1",
            "Signature=b&OSSAccessKeyId=STS.N2&Expires=2&security-token=CAIS2",
        ),
        (
            "OSS 4",
            "x-oss-signature=77dd&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-expires=86400\
             &x-oss-credential=L%2F20231203%2Foss&x-oss-date=20231203T121212Z&x-oss-security-token=C",
            "x-oss-signature=88ee&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-expires=600\
             &x-oss-credential=L%2F20231204%2Foss&x-oss-date=20231204T121212Z",
        ),
        (
            "S3 2",
            "Signature=x&AWSAccessKeyId=AKIA1&Expires=1&x-amz-security-token=I1",
            "Signature=y&AWSAccessKeyId=AKIA2&Expires=2&x-amz-security-token=I2",
        ),
        (
            "S3 4",
            "X-Amz-Signature=fe5f&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20130524T000000Z\
             &X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Security-Token=I",
            "X-Amz-Signature=0000&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20130525T000000Z\
             &X-Amz-Expires=60&X-Amz-SignedHeaders=host",
        ),
        (
            "CloudFront, canned policy",
            "Signature=nitfHR&Expires=1767290400&Key-Pair-Id=K2JC",
            "Signature=zzz&Expires=1767299999&Key-Pair-Id=K2JD",
        ),
        (
            "CloudFront, custom policy",
            "Signature=nitfHR&Policy=eyANCiAgICJ&Key-Pair-Id=K2JC",
            "Signature=zzz&Policy=eyANCiAgICK&Key-Pair-Id=K2JC",
        ),
        (
            "GCS 2",
            "Signature=a&GoogleAccessId=x%40y.iam&Expires=1",
            "Signature=b&GoogleAccessId=z%40y.iam&Expires=2",
        ),
        (
            "GCS 4",
            "X-Goog-Signature=247a&X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date=20181026T181309Z\
             &X-Goog-Expires=900&X-Goog-SignedHeaders=host&X-Goog-Credential=e",
            "X-Goog-Signature=9999&X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date=20181027T181309Z\
             &X-Goog-Expires=60&X-Goog-SignedHeaders=host&X-Goog-Credential=f",
        ),
        (
            "Azure, service",
            "sig=rcrN&sv=2022-11-02&sr=b&st=2023-05-24T01:13:55Z&se=2023-05-24T09:13:55Z&sp=r\
             &spr=https&sip=168.1.5.60-168.1.5.70&si=p",
            "sig=aaaa&sv=2023-01-03&sr=b&se=2023-06-24T09:13:55Z&sp=r",
        ),
        (
            "Azure, user delegation",
            "sig=a&sv=2022&skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=2022&saoid=5&suoid=6&scid=7&sdd=1\
             &ss=b&srt=o",
            "sig=b&sv=2023&skoid=1&sktid=2&skt=4&ske=5&sks=b&skv=2022",
        ),
        (
            "COS",
            "q-signature=98ab&q-sign-algorithm=sha1&q-ak=AKID&q-sign-time=1;2&q-key-time=1;2\
             &q-header-list=host&q-url-param-list=&x-cos-security-token=t",
            "q-signature=12cd&q-sign-algorithm=sha1&q-ak=AKID&q-sign-time=3;4&q-key-time=3;4\
             &q-header-list=host&q-url-param-list=",
        ),
        (
            "OBS",
            "Signature=a&AccessKeyId=H&Expires=1&x-obs-security-token=t",
            "Signature=b&AccessKeyId=I&Expires=2",
        ),
        (
            "TOS",
            "X-Tos-Signature=a&X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Date=1&X-Tos-Expires=3600",
            "X-Tos-Signature=b&X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Date=2&X-Tos-Expires=60",
        ),
    ];

    const QINIU: (&str, &str, &str) =
        ("Qiniu", "token=k:Ab&e=1451491200", "token=k:Cd&e=1451499999");

    const OBJECT: &str = "https://host.example/a/portrait.jpg";

    #[test]
    fn an_object_signed_anew_is_one_image() {
        for (signer, first, second) in SIGNINGS.into_iter().chain([QINIU]) {
            for kept in ["", "v=2&", "x-oss-process=image/resize,w_500&", "imageMogr2/crop/400&"] {
                let signed = |with: &str| without_signature(&format!("{OBJECT}?{kept}{with}"));
                let plain = match kept.strip_suffix('&') {
                    Some(query) => format!("{OBJECT}?{query}"),
                    None => OBJECT.to_owned(),
                };
                assert_eq!(signed(first), plain, "{signer}");
                assert_eq!(signed(second), plain, "{signer}");
                assert_eq!(signed(&first.to_uppercase()), plain, "{signer}: names have no case");
            }
        }
    }

    #[test]
    fn what_does_not_sign_stays() {
        for (signer, first, _) in SIGNINGS.into_iter().chain([QINIU]) {
            let (_, unsigned) = first.split_once('&').unwrap();
            let url = format!("{OBJECT}?{unsigned}");
            assert_eq!(without_signature(&url), url, "{signer}: without the signature");
            // Another signer's parameters are the object's own.
            let foreign = if signer == "Azure, service" { "q-ak=1" } else { "se=1" };
            let url = format!("{OBJECT}?{foreign}&{first}");
            let foreign_stays = signer.starts_with("Azure, user")
                || without_signature(&url) == format!("{OBJECT}?{foreign}");
            assert!(foreign_stays, "{signer}");
        }
        for url in [
            "https://h/a.jpg",
            "https://h/a.jpg?",
            "https://h/a.jpg?signature=1",
            "https://h/a.jpg?e=1",
            "https://h/a.jpg?token=1",
            "https://h/a.jpg?sig=1&se=2",
            "https://h/a.jpg?Expires=1&OSSAccessKeyId=k",
        ] {
            assert_eq!(without_signature(url), url);
        }
        for process in ["x-oss-process=image/crop", "X-OSS-Async-Process=p", "x-tos-process=p"] {
            let signed = format!("https://h/a?{process}&x-oss-signature=1&x-tos-signature=2");
            assert_eq!(without_signature(&signed), format!("https://h/a?{process}"));
        }
    }
}
