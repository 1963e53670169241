require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];
# out of Junk into Trash is no change of mind
if environment :is "imap.mailbox" "Trash" {
	stop;
}
if environment :matches "imap.user" "*" {
	set "user" "${1}";
}
pipe :copy "assay-report" ["not-spam", "${user}"];
