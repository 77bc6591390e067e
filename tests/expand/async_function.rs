impl Account {
    #[memlock::lock("account/{self.id}", timeout = 30)]
    pub async fn deposit(&self, amount: u64) -> Result<(), memlock::Error> {
        self.store(self.load().await? + amount).await
    }
}

// A lifetime that is not named hides no type: the release is waited for.
#[memlock::lock(name = "borrowed")]
async fn borrowed(cell: &RefCell<u8>) -> Ref<'_, u8> {
    cell.borrow()
}

#[memlock::lock(name = "hidden")]
async fn hidden() -> impl Iterator<Item = u8> {
    find().await
}

#[memlock::lock(name = "leader", renew)]
async fn lead() -> ! {
    loop {
        work().await;
    }
}
